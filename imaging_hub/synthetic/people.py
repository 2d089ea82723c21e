"""People of the synthetic SNDS: identities, insurance policies, and the hospitals.

No NIR here can be a real person's: the commune codes 991 to 999 are not used in metropolitan France.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from importlib import resources

import numpy as np
from stdnum.fr import nir

from imaging_hub.synthetic.snds_operator import SndsOperator

LARGE_POPULATION = 2000
"""Number of people from which special cases (twins, fictive NIR) are patients of the hospitals too."""
_TWIN_PAIRS = 0.0035
START, END = date(2017, 1, 1), date(2021, 12, 31)

DISEASES = {"lung": 0.25, "stroke": 0.10, "ms": 0.08, "copd": 0.12, "breast": 0.12, "healthy": 0.33}
_AGE_RANGES = {
    "lung": (45, 82),
    "stroke": (50, 88),
    "ms": (22, 55),
    "copd": (50, 85),
    "breast": (40, 80),
    "healthy": (20, 80),
}


@dataclass(frozen=True, slots=True)
class Hospital:
    """A hospital that sends images."""

    name: str
    finess: str
    sector: str
    """`public` (acts in the PMSI) or `private` (acts in DCIR)."""
    ae_title: str
    institution: str


HOSPITALS = (
    Hospital("CHU-VALMONT", "990000101", "public", "VALMONT_PACS", "CHU de Valmont"),
    Hospital("CLINIQUE-TILLEULS", "990000218", "private", "TILLEULS_PACS", "Clinique des Tilleuls"),
    Hospital("CH-BELLERIVE", "990000325", "public", "BELLERIVE_PACS", "Centre hospitalier de Bellerive"),
)


@dataclass(slots=True)
class InsurancePolicy:
    """A period under one policy holder: one BEN_NIR_PSA and birth rank."""

    psa: str
    rank: int
    since: date
    ano_known: bool = True
    cdi: str = "00"


@dataclass(slots=True)
class Person:
    """A person with identities of both zones, which the hub never holds together."""

    id: str
    nir13: str
    sex: str
    birth_date: date
    family_name: str
    first_name: str
    birth_name: str
    department: str
    commune: str
    disease: str
    nir_ano: str
    policies: list[InsurancePolicy] = field(default_factory=list)
    death_date: date | None = None
    twin: str = ""

    @property
    def ins(self) -> str:
        """NIR and key."""
        return f"{self.nir13}{nir.calc_check_digits(self.nir13 + '00')}"

    @property
    def snds_person(self) -> str:
        """The person's BEN_IDT_ANO in the SNDS."""
        first = self.policies[0]
        return self.nir_ano if first.ano_known else f"{first.psa}{first.rank}"

    def policy(self, day: date) -> InsurancePolicy:
        """Return the policy in force that day."""
        return [policy for policy in self.policies if policy.since <= day][-1]


@cache
def french_names() -> dict[str, list[str]]:
    """Return frequent French names, streets and invented towns."""
    names: dict[str, list[str]] = json.loads(
        resources.files(__package__).joinpath("french_names.json").read_text("utf-8")
    )
    return names


def make_people(count: int, operator: SndsOperator, rng: np.random.Generator) -> list[Person]:
    """Return `count` people, some of them special cases of the beneficiaries' table."""
    diseases = rng.permutation([d for d, share in DISEASES.items() for _ in range(round(share * count))])
    people: list[Person] = []
    taken: set[str] = set()
    for number in range(count):
        disease = str(diseases[number]) if number < len(diseases) else "healthy"
        people.append(_make_person(number, disease, operator, rng, taken))
    _make_twins(people, operator)
    for person in people:
        if not person.policies:
            _assign_policies(person, operator, rng)
    _add_special_cases(people)
    return people


def _make_person(
    number: int, disease: str, operator: SndsOperator, rng: np.random.Generator, taken: set[str]
) -> Person:
    sex = "2" if disease == "breast" or rng.random() < (0.65 if disease == "ms" else 0.45) else "1"
    youngest, oldest = _AGE_RANGES[disease]
    birth = START - timedelta(days=int(rng.integers(youngest * 365, oldest * 365)))
    department = str(rng.choice(["59", "75", "69", "13", "33", "2A", "2B", "29", "67", "44"]))
    nir13 = _new_nir(sex, birth, department, rng, taken)
    names = french_names()
    family, first = str(rng.choice(names["family"])), str(rng.choice(names["female" if sex == "2" else "male"]))
    maiden = str(rng.choice(names["family"])) if sex == "2" and rng.random() < 0.6 else family
    commune = f"{int(rng.integers(1, 500)):03d}"
    ano = operator.nir_ano(nir13, f"{birth:%Y%m%d}", sex)
    return Person(f"P{number + 1:05d}", nir13, sex, birth, family, first, maiden, department, commune, disease, ano)


def _new_nir(sex: str, birth: date, department: str, rng: np.random.Generator, taken: set[str]) -> str:
    while True:
        nir13 = f"{sex}{birth:%y%m}{department}{int(rng.integers(991, 1000))}{int(rng.integers(1, 1000)):03d}"
        if nir13 not in taken:
            taken.add(nir13)
            return nir13


def _assign_policies(person: Person, operator: SndsOperator, rng: np.random.Generator) -> None:
    """Assign one policy to most; 30 % were under another person's before their own, 5 % change their rank."""
    birth = f"{person.birth_date:%Y%m%d}"
    own = operator.nir_psa(person.nir13, birth, person.sex)
    if rng.random() < 0.3:
        holder = f"1{int(rng.integers(40, 99))}0159999{int(rng.integers(1, 1000)):03d}"
        switch = START + timedelta(days=int(rng.integers(400, 1200)))
        person.policies = [
            InsurancePolicy(operator.nir_psa(holder, birth, person.sex), 1, date.min),
            InsurancePolicy(own, 1, switch),
        ]
    else:
        person.policies = [InsurancePolicy(own, 1, date.min)]
    if rng.random() < 0.05:
        person.policies.append(InsurancePolicy(own, 2, START + timedelta(days=1300)))


def _make_twins(people: list[Person], operator: SndsOperator) -> None:
    """Make same-sex twins who share a BEN_NIR_PSA; in every second pair one has no BEN_NIR_ANO.

    They are 0.7 % of people, at least four; the first two pairs are not patients of the hospitals.
    """
    healthy = [person for person in people if person.disease == "healthy"]
    pairs = healthy[: 2 * min(2, len(healthy) // 4)]
    patients = sorted((p for p in people if p.disease in ("lung", "stroke", "ms")), key=lambda p: p.disease)
    pairs += patients[: 2 * max(0, round(_TWIN_PAIRS * len(people)) - 2)]
    for pair in range(len(pairs) // 2):
        first, second = pairs[2 * pair], pairs[2 * pair + 1]
        second.sex, second.birth_date, second.family_name = first.sex, first.birth_date, first.family_name
        order = int(first.nir13[-3:]) % 999 + 1
        second.nir13 = f"{first.nir13[:-3]}{order:03d}"
        birth = f"{first.birth_date:%Y%m%d}"
        names = french_names()["female" if first.sex == "2" else "male"]
        second.first_name = names[(names.index(first.first_name) + 1) % len(names)]
        second.birth_name = first.birth_name
        second.nir_ano = operator.nir_ano(second.nir13, birth, second.sex)
        shared = operator.nir_psa(f"1600159999{pair + 1:03d}", birth, first.sex)
        first.policies, second.policies = [InsurancePolicy(shared, 1, date.min)], [InsurancePolicy(shared, 2, date.min)]
        first.twin, second.twin = second.id, first.id
        second.policies[0].ano_known = pair % 2 == 0


def _add_special_cases(people: list[Person]) -> None:
    """Leave 3 % without BEN_NIR_ANO, 1 % under a fictive NIR, 1 % provisional; patients in large populations only."""
    kinds = ("healthy", "copd") if len(people) >= LARGE_POPULATION else ("healthy",)
    plain = [person for person in people if person.disease in kinds and not person.twin]
    share = max(1, len(people) // 100)
    for place, person in enumerate(plain[: 5 * share]):
        person.policies = person.policies[:1]
        person.policies[0].ano_known = False
        person.policies[0].cdi = "06" if place < share else "04" if place < 2 * share else "00"
