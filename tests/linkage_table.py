"""The quality of a linkage in Markdown, as `docs/evidence/linkage.md` has it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from imaging_hub.snds.indirect_linkage import METHODS
from imaging_hub.snds.linkage_quality import Proportion
from imaging_hub.synthetic.patients import HospitalPatient
from tests.linked_population import Linked, linkable, wrong_of_the_hard


def written(linked: Linked) -> str:
    """All tables."""
    made = linked.population
    states = Counter(patient.ins_state for patient in made.patients)
    lines = [
        f"{len(made.people)} persons, {len(made.patients)} patients of hospitals ({dict(states)}), {len(made.studies)}"
        f" studies; {len({p.person.id for p in made.patients if linkable(p)})} linkable persons.",
        "",
        "| method | links | right | precision, 95 % interval | precision measured by the hub on pairs known by INS"
        " | proposed | of these right |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for method in ("ins", *METHODS):
        share = linked.precision(lambda link, method=method: link.method == method)
        own = linked.indirect.precision.get(method)
        waiting = [link.right for link in linked.proposals if link.method == method]
        counts = f"{share.of} | {share.count} | {_told(share)} | {_told(own) if own else '–'}"
        lines.append(f"| {method} | {counts} | {len(waiting)} | {sum(waiting)} |")
    every = linked.precision(lambda _: True)
    lines += [f"| all | {every.of} | {every.count} | {_told(every)} | – | – | – |", ""]
    lines += ["| linkable persons | persons | linked rightly | recall, 95 % interval |", "| --- | --- | --- | --- |"]
    for name, chosen in _groups(linked).items():
        share = linked.recall(chosen)
        lines.append(f"| {name} | {share.of} | {share.count} | {_told(share)} |")
    lines += ["", f"Wrong links of the hard ones: {wrong_of_the_hard(linked)}."]
    report = linked.indirect
    lines += [f"Proposed: {report.proposed}; discarded: {report.discarded}; agree with nobody: {report.alone}."]
    return "\n".join(lines)


def _groups(linked: Linked) -> dict[str, Callable[[HospitalPatient], bool]]:
    groups: dict[str, Callable[[HospitalPatient], bool]] = {"all": lambda _: True}
    for state in sorted({patient.ins_state for patient in linked.population.patients}):
        groups[f"INS {state}"] = lambda patient, state=state: patient.ins_state == state
    for sex, code in (("men", "1"), ("women", "2")):
        groups[sex] = lambda patient, code=code: patient.person.sex == code
    for born in range(1920, 2000, 20):
        groups[f"born {born} to {born + 19}"] = lambda patient, born=born: (
            born <= patient.person.birth_date.year < born + 20
        )
    for hospital in sorted({patient.hospital.name for patient in linked.population.patients}):
        groups[hospital] = lambda patient, hospital=hospital: patient.hospital.name == hospital
    return groups


def _told(share: Proportion) -> str:
    lower, upper = share.interval
    return "–" if share.value is None else f"{share.value:.4f} ({lower:.4f}–{upper:.4f}), n {share.of}"
