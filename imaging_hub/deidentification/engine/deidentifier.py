"""An instance de-identified: a source instance goes in, a de-identified one or the reason for its quarantine comes out.

    plan = compile(load("research-longitudinal"))
    engine = Deidentifier(plan)
    outcome = engine.deidentify(SourceInstance(dataset, transfer_syntax_uid), pseudonyms)

It fails closed: whatever cannot be examined, decided or checked is quarantined, and no exception leaves it.
"""

from __future__ import annotations

from imaging_hub.deidentification import standard_tables
from imaging_hub.deidentification.attribute import attribute_name
from imaging_hub.deidentification.documents import encapsulated_document
from imaging_hub.deidentification.engine import output, refusal, slice_cache
from imaging_hub.deidentification.engine.actions import InstanceActions, RejectedByRule
from imaging_hub.deidentification.engine.decision_scope import DecisionScope
from imaging_hub.deidentification.engine.plan import Plan
from imaging_hub.deidentification.engine.slice_cache import PIXELS, EncodedRun, RunContext, SliceCache
from imaging_hub.deidentification.identifiers.patient import PatientContext, RecentPatients, UndecodableText
from imaging_hub.deidentification.profile import expression
from imaging_hub.deidentification.profile.profile import Profile
from imaging_hub.deidentification.source_and_outcome import (
    DeidentifiedInstance,
    Pseudonyms,
    Quarantined,
    SourceInstance,
)
from imaging_hub.dicom import dates, encode, part10, tags, values
from imaging_hub.dicom.element_runs import VARYING, ElementRun, ElementRunReader, around, elements_of
from imaging_hub.dicom.elements import Buffer, Dataset, Element
from imaging_hub.errors import FaultSite, MalformedDataset

_DOCUMENT = (*around(tags.EncapsulatedDocument), *around(tags.EncapsulatedDocumentLength))
_CUTS = (*VARYING, *output.METHOD, *output.DATES, *_DOCUMENT, *PIXELS)


class Deidentifier:
    """De-identifies instances by one plan. One engine serves one thread."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._profile = plan.profile
        self._patients = RecentPatients(_retained(plan.profile))
        self._reader = ElementRunReader(_CUTS)
        self._cache = SliceCache()
        self._asks_for_pixels = any(
            tag >= PIXELS[0] for held in plan.profile.quarantine for tag in expression.attributes(held.condition)
        )

    def deidentify(self, source: SourceInstance, pseudonyms: Pseudonyms) -> DeidentifiedInstance | Quarantined:
        """De-identify one instance; never raises on data."""
        try:
            return self._deidentify(source, pseudonyms)
        except MalformedDataset as fault:
            return Quarantined(f"malformed-{fault.code}", rule="dicom")
        except RejectedByRule as fault:
            attribute, rule = fault.args
            return Quarantined("rejected-by-profile", attribute, rule)
        except UndecodableText as fault:
            return Quarantined("undecodable-text", attribute=str(fault), rule="SpecificCharacterSet")
        except Exception as fault:
            return Quarantined("engine-fault", fault=FaultSite.from_exception(fault))

    def refusal(self, start: Buffer, size: int, transfer_syntax_uid: str, pseudonyms: Pseudonyms) -> Quarantined | None:
        """Say why an instance of `size` bytes whose dataset begins so is not even tried, as `deidentify` would.

        None where it is tried, or where it takes the whole to know. Never raises on data.
        """
        if len(start) >= size or self._asks_for_pixels:
            return None
        try:
            runs = self._reader.read_start(start, size, transfer_syntax_uid)
            if runs is None:
                return None
            # What follows is pixel data and nothing else; which they are, nothing asks.
            dataset = [*elements_of(runs), Element(tags.PixelData, "OW", b"")]
            sop_class_uid, modality = values.text_at(dataset, tags.SOPClassUID), values.text_at(dataset, tags.Modality)
            return refusal.refused(dataset, sop_class_uid, modality, self._profile, pseudonyms)
        except Exception:  # `deidentify` will meet it in the whole, and say where
            return None

    def _deidentify(self, source: SourceInstance, pseudonyms: Pseudonyms) -> DeidentifiedInstance | Quarantined:
        before, self._cache = self._cache, SliceCache()
        runs = self._reader.read(source.dataset, source.transfer_syntax_uid)
        dataset = elements_of(runs)
        sop_class_uid, modality = values.text_at(dataset, tags.SOPClassUID), values.text_at(dataset, tags.Modality)
        refused = refusal.refused(dataset, sop_class_uid, modality, self._profile, pseudonyms)
        if refused is not None:
            return refused
        charset = values.charset_of(dataset)
        patient = self._patients.of(runs, charset, pseudonyms)
        documents = self._documents(dataset, sop_class_uid, patient)
        if isinstance(documents, Quarantined):
            return documents
        scope = self._plan.scope_of(dataset)
        syntax = encode.output_syntax(source.transfer_syntax_uid)
        context = RunContext(scope, patient, pseudonyms, charset, syntax)
        encoded = self._encoded(runs, context, before)
        whole = slice_cache.joined(encoded.values())
        hit = before.residual_identifier(encoded, whole, context)
        if hit is not None:
            return Quarantined("residual-identifier", hit.path, _rule_for(hit.path, whole.elements, scope))
        self._cache = SliceCache(context, encoded, frozenset(whole.uids), whole.gone_days)
        header, parts = output.encoded(encoded.values(), whole, documents, self._profile.name, syntax)
        sop_instance_uid = values.text_at(whole.elements, tags.SOPInstanceUID)
        return DeidentifiedInstance(
            sop_class_uid=sop_class_uid,
            sop_instance_uid=sop_instance_uid,
            series_instance_uid=values.text_at(whole.elements, tags.SeriesInstanceUID),
            study_instance_uid=values.text_at(whole.elements, tags.StudyInstanceUID),
            transfer_syntax_uid=syntax,
            part10=(part10.file_meta(sop_class_uid, sop_instance_uid, syntax), *parts),
            header=header,
            changes=whole.changes,
            needs_review=bool(documents) or self._wants_review(modality, dataset),
            study_date=dates.day_of(values.text_at(dataset, tags.StudyDate)),
        )

    def _documents(self, dataset: Dataset, sop_class_uid: str, patient: PatientContext) -> Dataset | Quarantined:
        """What is written in place of an encapsulated document; nothing where there is none."""
        is_document = (standard_tables.iod(sop_class_uid) or "").startswith("encapsulated")
        if is_document or values.find(dataset, tags.EncapsulatedDocument) is not None:
            return encapsulated_document.decide(dataset, sop_class_uid, self._profile.documents, patient)
        return []

    def _encoded(self, runs: list[ElementRun], context: RunContext, before: SliceCache) -> dict[ElementRun, EncodedRun]:
        """What leaves of each run, pixel data not encoded."""
        known = before.unchanged(context)
        actions = InstanceActions(self._profile, context.pseudonyms, context.patient, context.charset)
        encoded: dict[ElementRun, EncodedRun] = {}
        for run in runs:
            same = known.get(run)
            if same is None:
                left = actions.apply(run.elements, context.scope)
                is_text = run.stop != PIXELS[1]
                written = b"".join(encode.write(left.elements, context.transfer_syntax_uid)) if is_text else b""
                same = EncodedRun(run.stop, left, written)
            encoded[run] = same
        return encoded

    def _wants_review(self, modality: str, dataset: Dataset) -> bool:
        """Whether the profile wants a radiologist to look at an instance before it is released."""
        return modality in self._profile.review or any(
            expression.may_hold(review.condition, dataset) for review in self._profile.reviewed
        )


def _retained(profile: Profile) -> frozenset[int]:
    """Identifying attributes that an option chosen keeps on purpose: device, institution."""
    options = profile.options & {"retain-device-identity", "retain-institution-identity"}
    return frozenset(tag for tag, row in standard_tables.by_tag().items() if options & row.options.keys())


def _rule_for(path: str, items: Dataset, scope: DecisionScope) -> str:
    """The rule by which the attribute at `path` was kept, and which should have caught what it holds."""
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
