"""What stands below each figure of a problem."""

from __future__ import annotations

ACCURACY_COST = (
    "Test score with 95 % interval over seeds against cost. Small marks: one training; large marks: everything. Open "
    "marks: replays (of many rows, those on the front alone). Large marks are shifted a few points sideways so that "
    "intervals can be told apart. Dotted: the front, by means, bounds aside; no row beats it in score and cost at once."
)
ANYTIME = (
    "The best score on the select split by each point of the cost. Left: over the trials of the tuning, all costs of "
    "stopped trials included; where trials are bred, the best of the last whole generation. Right: within the confirm "
    "training of every seed; of more than six rows the mean over seeds. The test split is in neither. The mean over "
    "log cost goes from one plain training to the budget; before a study has found anything, its score is 0, or, where "
    "scores are negative, the middle one of the first finds of all, or its own first find if that is lower. "
    "Pre-training is on neither axis: it is paid before."
)
EXPECTED = (
    "The mean best select score of n trials drawn at random from those of the tuning, without bias (Tang et al. 2020). "
    "Only of independent trials: random search without early stopping. What was given (the defaults first) is left out."
)
LEDGER = (
    "Where the cost went. Search and retraining are the two phases of the confirm trainings. The table tells, too, "
    "what of it went into failed trials, and what the harness's own scoring cost, which is in no total. Sweeps "
    "that were thrown away while a method was developed are not known."
)
TABLED = (
    " In the table kl is the mean divergence in nats, and relative AugNet's metric: 1 where outputs do not move, 0 "
    "where they move as far as an image of another class is away."
)
CONSTANT = (
    " Who answers nearly the same to every image keeps the answer under any action, whatever was learned: read this "
    "beside the test score."
)
RADAR = (
    "Agreement of predictions before and after each action: 0 in the middle, 1 at the rim, grey the best control. "
    "Bold green: planted invariance, where the rim is the aim. Bold red: the label depends on it." + CONSTANT + TABLED
)
CLASSES = (
    "eKLD: how far a prediction moves, in nats, when the planted nuisance is drawn for a test image that had none (or "
    "any action of the bank, where nothing was planted). It is small, too, where a classifier is unsure or answers "
    "nearly the same to every image: read it beside the accuracy, and at the temperature fitted on the select split."
)
TAILED = " Head and tail: the largest and the smallest third of classes."
BARS = "How far predictions stay the same under each action." + CONSTANT + TABLED
LEARNED = "What the methods say they learned, mean over seeds, a panel for each unit; a black bar is what was planted."
BREAK_EVEN = (
    "What n tasks cost in all: pre-training once, then the tuning and one training for each task. Thick lines: with a "
    "pre-training. Intervals hold what costs differ by over the seeds, which is little; not the luck of the tuning. A "
    "cheaper method is not a better one: see the scores."
)
FRONT = "Trials of the tuning with two objectives; those on the line are beaten by no other in both."
