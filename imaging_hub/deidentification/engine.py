"""The door: a source instance goes in, a de-identified one or the reason for its quarantine comes out.

    plan = compile(load("research-longitudinal"))
    engine = Engine(plan)
    outcome = engine.deidentify(SourceInstance(dataset, transfer_syntax_uid), pseudonyms)

It fails closed: whatever cannot be examined, decided or proven is quarantined, and no exception leaves it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from operator import attrgetter

from imaging_hub.deidentification import ages, burned_in, identifiers, residual, standard
from imaging_hub.deidentification.actions import Actions
from imaging_hub.deidentification.attribute import attribute_name
from imaging_hub.deidentification.dates import day_of
from imaging_hub.deidentification.instance import (
    DeidentifiedInstance,
    Pseudonyms,
    Quarantined,
    SourceInstance,
)
from imaging_hub.deidentification.patient import Patient, Undecodable
from imaging_hub.deidentification.plan import Plan
from imaging_hub.dicom import encode, part10, values, walk
from imaging_hub.dicom.elements import Buffer, Dataset, Element
from imaging_hub.errors import MalformedDataset

_SOP_CLASS, _SOP_INSTANCE, _MODALITY = 0x00080016, 0x00080018, 0x00080060
_STUDY_DATE, _STUDY, _SERIES = 0x00080020, 0x0020000D, 0x0020000E
_DOCUMENT = 0x00420011
_REFERENCED_SERIES = 0x00081115
_PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_PATIENTS_REMEMBERED = 4
_by_tag = attrgetter("tag")
_VERSION = "imaging-hub 1"


class Engine:
    """De-identifies instances by one plan. One engine serves one thread."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._patients: OrderedDict[object, Patient] = OrderedDict()
        self._own: dict[tuple[frozenset[str], bool], Dataset] = {}

    def deidentify(self, source: SourceInstance, pseudonyms: Pseudonyms) -> DeidentifiedInstance | Quarantined:
        """One instance through the door; never raises on data."""
        try:
            return self._deidentify(source, pseudonyms)
        except MalformedDataset as fault:
            return Quarantined(f"malformed-{fault.code}", rule="dicom")
        except Undecodable as fault:
            return Quarantined("undecodable-text", attribute=str(fault), rule="SpecificCharacterSet")
        except Exception:
            return Quarantined("engine-fault")

    def _deidentify(self, source: SourceInstance, pseudonyms: Pseudonyms) -> DeidentifiedInstance | Quarantined:
        dataset = walk.read(source.dataset, source.transfer_syntax_uid)
        sop_class_uid = values.text_at(dataset, _SOP_CLASS)
        modality = values.text_at(dataset, _MODALITY)
        refused = self._refused(dataset, sop_class_uid, modality, pseudonyms)
        if refused is not None:
            return refused
        patient = self._patient(dataset, pseudonyms)
        actions = Actions(self._plan, pseudonyms, patient)
        references = values.find(dataset, _REFERENCED_SERIES) is not None
        cap = self._plan.profile.age_cap_years
        very_old = cap is not None and ages.is_above(dataset, cap)
        cleaned = actions.apply(dataset, self._plan.scope(sop_class_uid, modality, references, very_old))
        first, last = (bisect_left(cleaned, tag, key=_by_tag) for tag in (_PIXELS[0], _PIXELS[-1] + 1))
        pixels, after = cleaned[first:last], cleaned[last:]
        cleaned = cleaned[:first] + after
        syntax = encode.output_syntax(source.transfer_syntax_uid)
        own = self._method(frozenset(actions.options_ran), bool(actions.days))
        header = b"".join(encode.write(sorted(cleaned[:first] + own, key=_by_tag), syntax))
        behind = encode.write(after, syntax)
        days = frozenset(day.encode() for day in actions.days - actions.shifted_days)
        hit = residual.check(cleaned, b"".join((header, *behind)), patient.needles, actions.uids, days)
        if hit is not None and not hit.path:
            # The engine's own words may be somebody's name: what counts is the rest.
            rest = b"".join(encode.write(cleaned, syntax))
            hit = residual.check(cleaned, rest, patient.needles, actions.uids, days)
        if hit is not None:
            return Quarantined("residual-identifier", hit.path, self._rule(hit.path, cleaned, sop_class_uid, modality))
        uids = {tag: values.text_at(cleaned, tag) for tag in (_SOP_INSTANCE, _SERIES, _STUDY)}
        meta = part10.file_meta(sop_class_uid, uids[_SOP_INSTANCE], syntax)
        parts: tuple[Buffer, ...] = (meta, header, *encode.write(pixels, syntax), *behind)
        return DeidentifiedInstance(
            sop_class_uid=sop_class_uid,
            sop_instance_uid=uids[_SOP_INSTANCE],
            series_instance_uid=uids[_SERIES],
            study_instance_uid=uids[_STUDY],
            transfer_syntax_uid=syntax,
            part10=parts,
            header=header,
            changes=tuple(actions.changes),
            needs_review=modality in self._plan.profile.review,
            study_date=day_of(values.text_at(dataset, _STUDY_DATE)),
        )

    def _refused(
        self, dataset: Dataset, sop_class_uid: str, modality: str, pseudonyms: Pseudonyms
    ) -> Quarantined | None:
        """Why an instance is not even tried."""
        iod = standard.iod(sop_class_uid)
        if iod is None or iod == "basic-directory":
            return Quarantined("unknown-sop-class", "SOPClassUID")
        for tag in (_SOP_INSTANCE, _SERIES, _STUDY):
            if not values.text_at(dataset, tag):
                return Quarantined("missing-uid", values.keyword(tag))
        if iod.startswith("encapsulated") or values.find(dataset, _DOCUMENT) is not None:
            return Quarantined("encapsulated-document", "EncapsulatedDocument")
        if self._plan.date_option == standard.MODIFIED_DATES and not pseudonyms.date_shift_days:
            return Quarantined("no-date-shift", rule="E.1-1 Retain Longitudinal Modified Dates")
        return burned_in.decide(dataset, sop_class_uid, modality, self._plan.profile)

    def _method(self, options_ran: frozenset[str], shifted: bool) -> Dataset:
        """What an instance says of its own de-identification, made once for those treated alike."""
        found = self._own.get((options_ran, shifted))
        if found is None:
            found = self._own[options_ran, shifted] = _method_elements(self._plan.profile.name, options_ran, shifted)
        return found

    def _patient(self, dataset: Dataset, pseudonyms: Pseudonyms) -> Patient:
        """The patient of a dataset, remembered from the instance before when every identifier is the same."""
        found = identifiers.raw(dataset)
        key = (tuple(found), pseudonyms)
        patient = self._patients.get(key)
        if patient is None:
            retained = self._retained(dataset)
            own = set(identifiers.read(element for element in found if element[0] not in retained))
            kept = set(identifiers.read(element for element in found if element[0] in retained))
            # A source that was de-identified before may hold the very pseudonym that is written again.
            own -= {pseudonyms.patient, f"{pseudonyms.patient}^"}
            patient = Patient(own | (pseudonyms.identifiers - kept), pseudonyms.uid_key)
            self._patients[key] = patient
            while len(self._patients) > _PATIENTS_REMEMBERED:
                self._patients.popitem(last=False)
        return patient

    def _retained(self, dataset: Dataset) -> frozenset[int]:
        """Identifying attributes that an option chosen keeps on purpose: device, institution."""
        options = self._plan.profile.options & {"retain-device-identity", "retain-institution-identity"}
        if not options:
            return frozenset()
        return frozenset(tag for tag, row in standard.by_tag().items() if options & row.options.keys())

    def _rule(self, path: str, dataset: Dataset, sop_class_uid: str, modality: str) -> str:
        """The rule by which the attribute at `path` was kept, and which should have caught what it holds."""
        scope = self._plan.scope(sop_class_uid, modality)
        items = dataset
        for step in path.split("."):
            name, _, place = step.partition("[")
            element = next((element for element in items if attribute_name(element.tag) == name), None)
            if element is None or element.tag & 0x10000:
                return "E.3.10-1"
            if not place or not isinstance(element.value, list):
                return scope.decide(element.tag, element.vr).change.rule
            scope = scope.child(element.tag)
            items = element.value[int(place.rstrip("]"))]
        return ""


def _method_elements(profile: str, options_ran: frozenset[str], shifted: bool) -> Dataset:
    """What an instance says of its own de-identification (PS3.15 §E.1.1, PS3.3 §C.7.1.1, §C.12.1).

    Methods are the Basic Profile and the options that ran on this instance, not those that the profile would allow.
    """
    dates = "UNMODIFIED" if standard.FULL_DATES in options_ran else "REMOVED"
    if shifted or standard.MODIFIED_DATES in options_ran:
        dates = "MODIFIED"
    codes = [
        [
            Element(0x00080100, "SH", method.code.encode()),
            Element(0x00080102, "SH", b"DCM"),
            Element(0x00080104, "LO", method.meaning.encode()),
        ]
        for option, method in standard.methods().items()
        if option == standard.BASIC or option in options_ran
    ]
    text = "\\".join((_VERSION, standard.edition(), f"profile {profile}"[:64]))
    return [
        Element(0x00120062, "CS", b"YES"),
        Element(0x00120063, "LO", text.encode("ascii")),
        Element(0x00120064, "SQ", codes),
        Element(0x00280303, "CS", dates.encode()),
    ]
