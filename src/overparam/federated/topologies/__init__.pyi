from .epidemic import EpidemicLocal, EpidemicOracle
from .hub_spoke import HubSpoke
from .measured import ConsensusEstimate, measured_consensus
from .mixing import MixingPlan, MixingStage
from .planner import TopologyPlan, plan_topology
from .topology import Star, Topology

__all__ = [
    "ConsensusEstimate",
    "EpidemicLocal",
    "EpidemicOracle",
    "HubSpoke",
    "MixingPlan",
    "MixingStage",
    "Star",
    "Topology",
    "TopologyPlan",
    "measured_consensus",
    "plan_topology",
]
