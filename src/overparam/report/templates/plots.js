(() => {
  "use strict";
  const drawings = JSON.parse(document.getElementById("drawings").textContent);
  const config = {
    responsive: true,
    displayModeBar: false, // Some versions offer a button in it that hands the numbers to a host.
    showSendToCloud: false,
  };

  // Colours live in the style sheet; here var(--name) becomes what it is at the moment.
  const colour = (style, text) => {
    const named = /^var\((--[a-z]+)\)$/.exec(text);
    return named ? style.getPropertyValue(named[1]).trim() : text;
  };
  const coloured = (style, value) => {
    if (typeof value === "string") return colour(style, value);
    if (Array.isArray(value)) return value.map((item) => coloured(style, item));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, coloured(style, v)]));
  };

  // Steps come as the first one and the gaps after it.
  const stepped = ({ gaps, ...trace }) => {
    let step = 0;
    return gaps ? { ...trace, x: gaps.map((gap) => (step += gap)) } : trace;
  };

  const themed = (style) => {
    const axis = {
      gridcolor: "var(--grid)", linecolor: "var(--line)", zeroline: false, exponentformat: "power",
      title: { font: { size: 12, color: "var(--muted)" } }, tickfont: { size: 11, color: "var(--muted)" },
    };
    return coloured(style, {
      layout: {
        font: { family: style.getPropertyValue("--font"), size: 12, color: "var(--ink)" },
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
        xaxis: axis, yaxis: axis, bargap: 0.08,
        coloraxis: { colorbar: { outlinewidth: 0, tickfont: { color: "var(--muted)", size: 11 } } },
        showlegend: false,
        hovermode: "x unified", hoversubplots: "axis",
        hoverlabel: { bgcolor: "var(--surface)", bordercolor: "var(--line)", font: { color: "var(--ink)" } },
        dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom", // A finger scrolls.
      },
    });
  };

  const draw = () => {
    const style = getComputedStyle(document.documentElement);
    const template = themed(style);
    for (const [id, drawing] of Object.entries(drawings)) {
      const layout = { ...coloured(style, drawing.layout), template };
      Plotly.react(id, coloured(style, drawing.data.map(stepped)), layout, config);
    }
  };

  // A page that follows a run hands over new drawings as they come.
  window.redraw = (fresh) => {
    Object.assign(drawings, fresh);
    draw();
  };

  draw();
  for (const query of ["(prefers-color-scheme: dark)", "print"]) {
    window.matchMedia(query).addEventListener("change", draw);
  }

  const copied = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      return false; // The value itself is selected by one click.
    }
  };
  for (const button of document.querySelectorAll(".copy")) {
    button.addEventListener("click", async () => {
      const note = button.querySelector(".done");
      note.textContent = (await copied(button.dataset.copy)) ? "copied" : "press Ctrl+C";
      if (note.textContent !== "copied") {
        window.getSelection().selectAllChildren(button.previousElementSibling);
      }
      setTimeout(() => { note.textContent = ""; }, 1500);
    });
  }
})();
