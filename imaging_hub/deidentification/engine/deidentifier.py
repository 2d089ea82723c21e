"""The door: a source instance goes in, a de-identified one or the reason for its quarantine comes out.

    plan = compile(load("research-longitudinal"))
    engine = Engine(plan)
    outcome = engine.deidentify(SourceInstance(dataset, transfer_syntax_uid), pseudonyms)

It fails closed: whatever cannot be examined, decided or proven is quarantined, and no exception leaves it.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import chain
from operator import itemgetter

from imaging_hub.deidentification import standard
from imaging_hub.deidentification.attribute import attribute_name
from imaging_hub.deidentification.documents import document
from imaging_hub.deidentification.engine import burned_in, method, slice_cache
from imaging_hub.deidentification.engine.actions import InstanceActions, RejectedByRule
from imaging_hub.deidentification.engine.dates import day_of
from imaging_hub.deidentification.engine.plan import Plan
from imaging_hub.deidentification.engine.scope import Scope
from imaging_hub.deidentification.engine.slice_cache import EncodedRun, RunContext, RunOutput, SliceCache
from imaging_hub.deidentification.identifiers import collector
from imaging_hub.deidentification.identifiers.patient import PatientContext, UndecodableText
from imaging_hub.deidentification.instance import DeidentifiedInstance, Pseudonyms, Quarantined, SourceInstance
from imaging_hub.deidentification.profile import expression
from imaging_hub.dicom import encode, part10, values
from imaging_hub.dicom.element_runs import VARYING, ElementRun, ElementRunReader, elements_of
from imaging_hub.dicom.elements import Buffer, Dataset, Element
from imaging_hub.errors import FaultSite, MalformedDataset

_SOP_CLASS, _SOP_INSTANCE, _MODALITY = 0x00080016, 0x00080018, 0x00080060
_STUDY_DATE, _STUDY, _SERIES, _PIXEL_DATA = 0x00080020, 0x0020000D, 0x0020000E, 0x7FE00010
_PATIENTS_REMEMBERED = 4
_by_stop = itemgetter(0)
_PIXELS, _AFTER_PIXELS = slice_cache.PIXELS
_METHOD, _DATES = (0x00120062, 0x00120065), (0x00280303, 0x00280304)
"""Where an instance tells of its own de-identification."""
_DOCUMENT = (document.DOCUMENT, document.DOCUMENT + 1), (document.LENGTH, document.LENGTH + 1)
_CUTS = (*VARYING, *chain.from_iterable((_METHOD, _DATES, *_DOCUMENT, slice_cache.PIXELS)))


class Deidentifier:
    """De-identifies instances by one plan. One engine serves one thread."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._patients: OrderedDict[object, PatientContext] = OrderedDict()
        self._reader = ElementRunReader(_CUTS)
        self._course = SliceCache()
        self._asks_for_pixels = any(
            tag >= _PIXELS for held in plan.profile.quarantine for tag in expression.attributes(held.condition)
        )
        self._own: dict[tuple[frozenset[str], bool, str], list[tuple[int, bytes]]] = {}

    def deidentify(self, source: SourceInstance, pseudonyms: Pseudonyms) -> DeidentifiedInstance | Quarantined:
        """One instance through the door; never raises on data."""
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
            return Quarantined("engine-fault", fault=FaultSite.of(fault))

    def refusal(self, start: Buffer, size: int, transfer_syntax_uid: str, pseudonyms: Pseudonyms) -> Quarantined | None:
        """Why an instance of `size` bytes whose dataset begins so is not even tried, as `deidentify` would say.

        None where it is tried, or where it takes the whole to know. Never raises on data.
        """
        if len(start) >= size or self._asks_for_pixels:
            return None
        try:
            passages = self._reader.read_start(start, size, transfer_syntax_uid)
            if passages is None:
                return None
            # What follows is pixel data and nothing else; which they are, nothing asks.
            dataset = [*elements_of(passages), Element(_PIXEL_DATA, "OW", b"")]
            sop_class_uid, modality = values.text_at(dataset, _SOP_CLASS), values.text_at(dataset, _MODALITY)
            return self._refused(dataset, sop_class_uid, modality, pseudonyms)
        except Exception:
            return None

    def _deidentify(self, source: SourceInstance, pseudonyms: Pseudonyms) -> DeidentifiedInstance | Quarantined:
        before, self._course = self._course, SliceCache()
        passages = self._reader.read(source.dataset, source.transfer_syntax_uid)
        dataset = elements_of(passages)
        sop_class_uid = values.text_at(dataset, _SOP_CLASS)
        modality = values.text_at(dataset, _MODALITY)
        refused = self._refused(dataset, sop_class_uid, modality, pseudonyms)
        if refused is not None:
            return refused
        charset = values.charset_of(dataset)
        known = before.identifying if before.charset == charset else {}
        identifying = {
            passage: known[passage] if passage in known else collector.raw(passage.elements, charset)
            for passage in passages
        }
        patient = self._patient(tuple(chain.from_iterable(identifying.values())), pseudonyms)
        written: list[Element] | Quarantined = []
        if document.holds_one(dataset, sop_class_uid):
            written = document.decide(dataset, sop_class_uid, self._plan.profile.documents, patient)
        if isinstance(written, Quarantined):
            return written
        scope = self._plan.scope_of(dataset)
        syntax = encode.output_syntax(source.transfer_syntax_uid)
        circumstances = RunContext(scope, patient, pseudonyms, charset, syntax)
        pieces = self._pieces(passages, circumstances, before)
        whole = slice_cache.joined(pieces.values())
        hit = before.left(pieces, whole, circumstances)
        if hit is not None:
            return Quarantined("residual-identifier", hit.path, self._rule(hit.path, whole.elements, scope))
        self._course = SliceCache(charset, identifying, circumstances, pieces, frozenset(whole.uids), whole.gone_days)
        header, parts = self._encoded(pieces, whole, written, syntax)
        uids = {tag: values.text_at(whole.elements, tag) for tag in (_SOP_INSTANCE, _SERIES, _STUDY)}
        return DeidentifiedInstance(
            sop_class_uid=sop_class_uid,
            sop_instance_uid=uids[_SOP_INSTANCE],
            series_instance_uid=uids[_SERIES],
            study_instance_uid=uids[_STUDY],
            transfer_syntax_uid=syntax,
            part10=(part10.file_meta(sop_class_uid, uids[_SOP_INSTANCE], syntax), *parts),
            header=header,
            changes=whole.changes,
            needs_review=bool(written) or self._plan.profile.wants_review(modality, dataset),
            study_date=day_of(values.text_at(dataset, _STUDY_DATE)),
        )

    def _pieces(
        self, passages: list[ElementRun], circumstances: RunContext, before: SliceCache
    ) -> dict[ElementRun, EncodedRun]:
        """What leaves of each passage, pixel data not encoded."""
        known = before.unchanged(circumstances)
        actions = InstanceActions(
            self._plan.profile, circumstances.pseudonyms, circumstances.patient, circumstances.charset
        )
        pieces: dict[ElementRun, EncodedRun] = {}
        for passage in passages:
            piece = known.get(passage)
            if piece is None:
                settled = actions.settle(passage.elements, circumstances.scope)
                is_text = passage.stop != _AFTER_PIXELS
                encoded = (
                    b"".join(encode.write(settled.elements, circumstances.transfer_syntax_uid)) if is_text else b""
                )
                piece = EncodedRun(passage.stop, settled, encoded)
            pieces[passage] = piece
        return pieces

    def _encoded(
        self, pieces: dict[ElementRun, EncodedRun], whole: RunOutput, written: list[Element], syntax: str
    ) -> tuple[bytes, list[Buffer]]:
        """The header before pixel data, with what the engine wrote and says of itself; and all parts of the dataset."""
        own = self._method(whole.options_ran, bool(whole.days), syntax)
        instead = {element.tag + 1: b"".join(encode.write([element], syntax)) for element in written}
        before = [
            (piece.stop, piece.encoded)
            for piece in pieces.values()
            if piece.stop <= _PIXELS and piece.stop not in instead
        ]
        before += instead.items()
        header = b"".join(encoded for _, encoded in sorted((*before, *own), key=_by_stop))
        parts: list[Buffer] = [header]
        for piece in pieces.values():
            if piece.stop == _AFTER_PIXELS:
                parts += encode.write(piece.settled.elements, syntax)
            elif piece.stop > _AFTER_PIXELS:
                parts.append(piece.encoded)
        return header, parts

    def _refused(
        self, dataset: Dataset, sop_class_uid: str, modality: str, pseudonyms: Pseudonyms
    ) -> Quarantined | None:
        """Why an instance is not even tried."""
        iod = standard.iod(sop_class_uid)
        if iod is None or iod == "basic-directory":
            return Quarantined("media-directory" if iod else "unknown-sop-class", "SOPClassUID")
        for tag in (_SOP_INSTANCE, _SERIES, _STUDY):
            if not values.text_at(dataset, tag):
                return Quarantined("missing-uid", values.keyword(tag))
        if not values.is_charset_known(dataset):
            return Quarantined("unknown-character-set", values.keyword(values.SPECIFIC_CHARACTER_SET))
        if self._plan.date_option == standard.MODIFIED_DATES and not pseudonyms.date_shift_days:
            return Quarantined("no-date-shift", rule="E.1-1 Retain Longitudinal Modified Dates")
        for held in self._plan.profile.quarantine:
            if expression.may_hold(held.condition, dataset):
                return Quarantined(held.reason, rule=f"{self._plan.profile.name}: quarantine")
        return burned_in.decide(dataset, sop_class_uid, modality, self._plan.profile)

    def _method(self, options_ran: frozenset[str], shifted: bool, syntax: str) -> list[tuple[int, bytes]]:
        """What an instance says of its own de-identification, encoded once for those treated alike."""
        key = (options_ran, shifted, syntax)
        found = self._own.get(key)
        if found is None:
            own = method.elements(self._plan.profile.name, options_ran, shifted)
            found = self._own[key] = [
                (stop, b"".join(encode.write([element for element in own if first <= element.tag < stop], syntax)))
                for first, stop in (_METHOD, _DATES)
            ]
        return found

    def _patient(self, found: tuple[collector.RawIdentifier, ...], pseudonyms: Pseudonyms) -> PatientContext:
        """The patient of an instance, remembered from the one before when every identifier is the same."""
        key = (found, pseudonyms)
        patient = self._patients.get(key)
        if patient is None:
            retained = self._retained()
            own = set(collector.read(element for element in found if element[0] not in retained))
            kept = set(collector.read(element for element in found if element[0] in retained))
            # A source that was de-identified before may hold the very pseudonym that is written again.
            own -= {pseudonyms.patient, f"{pseudonyms.patient}^"}
            patient = PatientContext(own | (pseudonyms.identifiers - kept), pseudonyms.uid_key)
            self._patients[key] = patient
            while len(self._patients) > _PATIENTS_REMEMBERED:
                self._patients.popitem(last=False)
        return patient

    def _retained(self) -> frozenset[int]:
        """Identifying attributes that an option chosen keeps on purpose: device, institution."""
        options = self._plan.profile.options & {"retain-device-identity", "retain-institution-identity"}
        if not options:
            return frozenset()
        return frozenset(tag for tag, row in standard.by_tag().items() if options & row.options.keys())

    def _rule(self, path: str, items: Dataset, scope: Scope) -> str:
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
