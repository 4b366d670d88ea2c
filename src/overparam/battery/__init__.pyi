from .design import ElectrodeDesign, design_electrode
from .front import hypervolume, nondominated
from .inverse import InverseDesign, inverse_design
from .process import CoatingProcess, ProcessModel, Structure
from .process_file import load_process
from .runs import simulate_all
from .simulation import Objective, simulate
from .surrogate import Quality, Surrogate

__all__ = [
    "CoatingProcess",
    "ElectrodeDesign",
    "InverseDesign",
    "Objective",
    "ProcessModel",
    "Quality",
    "Structure",
    "Surrogate",
    "design_electrode",
    "hypervolume",
    "inverse_design",
    "load_process",
    "nondominated",
    "simulate",
    "simulate_all",
]
