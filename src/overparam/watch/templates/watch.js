(() => {
  "use strict";
  const PAUSE = 1000; // milliseconds between two questions
  const at = (id) => document.getElementById(id);
  let version = "";

  // The HTML comes escaped from the server, and the security policy runs no script in it.
  const put = (element, html) => {
    if (element.innerHTML !== html) element.innerHTML = html;
  };

  const show = (news) => {
    put(at("facts"), news.facts);
    put(at("events"), news.events);
    const drawings = {};
    for (const [name, figure] of Object.entries(news.figures)) {
      const card = at(`figure-${name}`);
      card.hidden = false;
      card.querySelector("h2").textContent = figure.title;
      card.querySelector("figcaption").textContent = figure.caption;
      put(card.querySelector(".key"), figure.legend);
      const plot = at(name);
      plot.style.height = `${figure.height}px`;
      plot.setAttribute("aria-label", figure.title);
      drawings[name] = figure.drawing;
    }
    for (const card of document.querySelectorAll(".watch figure")) {
      card.hidden = !(card.id.slice("figure-".length) in news.figures);
    }
    at("empty").hidden = Object.keys(drawings).length > 0;
    window.redraw(drawings);
    document.body.dataset.state = news.state;
  };

  const ask = async () => {
    try {
      const answer = await fetch(`state?since=${encodeURIComponent(version)}`, { cache: "no-store" });
      if (answer.status === 200) {
        const news = await answer.json();
        version = news.version;
        show(news);
      }
      at("lost").hidden = true;
    } catch {
      at("lost").hidden = false;
    }
    // While the server still reads, it reads on when it is asked.
    const pause = document.body.dataset.state === "reading" ? PAUSE / 10 : PAUSE;
    setTimeout(ask, document.hidden ? 5 * pause : pause);
  };
  ask();
})();
