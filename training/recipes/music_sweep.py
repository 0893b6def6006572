"""Paper 002, tables 3 to 5 and figure 3: every set of tasks, in separate and shared networks."""

from itertools import combinations

from training.recipes import Recipe, Row

TASKS = "gmdes"
SETS = tuple("".join(one) for number in range(1, 6) for one in combinations(TASKS, number))
IN_QUICK = ("g", TASKS)


def _network(kind: str, tasks: str, in_quick: bool, **more) -> Row:
    """A network that learns these tasks: STN one, MTN several, wSTN one and as wide as several."""
    name = f"{kind} {more.get('wide_as', tasks)}"
    return Row(name, "MelDCNN", {"tasks": tasks, **more}, in_quick=in_quick)


def _transfer(name: str, *networks: str, in_quick: bool = False) -> Row:
    """The genre by the features of networks."""
    uses = {"networks": networks}
    return Row(f"transfer {name}", "TransferMLP", uses=uses, in_quick=in_quick)


# An MTN of one task is the STN of that task, so the five sets of one task stand here once.
SHARED = tuple(tasks for tasks in SETS if len(tasks) > 1)
WIDE = (2, 3, 4, 5)

RECIPE = Recipe(
    title="Genre by transfer from 31 sets of tasks (paper 002, tables 3 to 5 and figure 3)",
    rows=(
        *(_network("STN", task, in_quick=True) for task in TASKS),
        *(_network("MTN", tasks, in_quick=tasks in IN_QUICK) for tasks in SHARED),
        *(_network("wSTN", "g", in_quick=False, wide_as=number) for number in WIDE),
        *(
            _transfer(
                f"STN {tasks}", *(f"STN {task}" for task in tasks), in_quick=tasks in IN_QUICK
            )
            for tasks in SETS
        ),
        *(
            _transfer(f"MTN {tasks}", f"MTN {tasks}", in_quick=tasks in IN_QUICK)
            for tasks in SHARED
        ),
        *(_transfer(f"wSTN {number}", f"wSTN {number}") for number in WIDE),
    ),
    seeds=(0, 1, 2, 3, 4),
    differs=(
        "FMA is not part of this repository, and the paper's descriptors come from "
        "Essentia where librosa's stand in without it."
    ),
    findings="models.music.findings:sweep",
    drawn="models.music.findings:figure3",
    one_table=True,
    full={"preset": "paper"},  # 85/15, 200 epochs for each task
    # Epochs of TransferMLP too, which has 50 in the paper; without mixup, as there.
    demonstration={"epochs": 10, "mixup": 0.0},
    quick={"epochs": 2},
)
