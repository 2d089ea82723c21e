"""The actions of a plan applied to one instance, element by element, at every depth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial

from imaging_hub.deidentification.engine import csa_header, dummy_values
from imaging_hub.deidentification.engine.decision import AttributeDecision, Handling
from imaging_hub.deidentification.engine.decision_scope import DecisionScope
from imaging_hub.deidentification.engine.private_elements import PrivateElements
from imaging_hub.deidentification.engine.slice_cache import RunOutput
from imaging_hub.deidentification.engine.structured_content import ContentItems
from imaging_hub.deidentification.identifiers.patient import PatientContext, UndecodableText
from imaging_hub.deidentification.profile import substitute
from imaging_hub.deidentification.profile.profile import Profile
from imaging_hub.deidentification.source_and_outcome import AttributeChange, Pseudonyms
from imaging_hub.dicom import dates, tags, uid, values
from imaging_hub.dicom.elements import Dataset, Element
from imaging_hub.dicom.values import Charset

_PRIVATE = 0x10000
# Handlings by which dates and UIDs stay what they are to each other.
_DATED = frozenset((Handling.SHIFT, Handling.TIME))
_AGREEING = {"DA": _DATED, "DT": _DATED, "UI": frozenset((Handling.REMAP, Handling.RETAIN))}
_NUMERIC = b"0123456789+-.eE \\\0"


class RejectedByRule(Exception):
    """A rule of the profile rejects the instance; the arguments are the attribute's path and the rule."""


class InstanceActions:
    """One pass over one instance: carries out the decisions of its scope, and puts on record what it did."""

    def __init__(self, profile: Profile, pseudonyms: Pseudonyms, patient: PatientContext, charset: Charset) -> None:
        self._profile = profile
        self._pseudonyms = pseudonyms
        self._patient = patient
        self._charset = charset
        self._begin()
        self._handlers: dict[Handling, Callable[[Element, AttributeDecision, DecisionScope, str], Element | None]] = {
            Handling.RETAIN: self._retain,
            Handling.REMOVE: self._remove,
            Handling.EMPTY: self._empty,
            Handling.DUMMY: self._dummy,
            Handling.PSEUDONYM: self._pseudonym,
            Handling.SCAN: partial(self._text, strict=False),
            Handling.CLEAN: partial(self._text, strict=True),
            Handling.REMAP: self._remap,
            Handling.SHIFT: self._shift,
            Handling.TIME: self._time,
            Handling.NUMBER: self._number,
            Handling.CSA: self._csa,
            Handling.AGE: self._age,
            Handling.REPLACE: self._replace,
            Handling.HASH: self._hash,
            Handling.TRUNCATE: self._truncate,
            Handling.REJECT: self._reject,
            Handling.RECURSE: self._recurse,
            Handling.CONTENT: self._content,
        }

    @cached_property
    def _content_items(self) -> ContentItems:
        return ContentItems(self._profile, self._applied, self._note)

    def _begin(self) -> None:
        self._changes: list[AttributeChange] = []
        self._uids: dict[str, str] = {}
        self._days: set[str] = set()
        self._shifted_days: set[str] = set()
        self._options_ran: set[str] = set()

    def apply(self, elements: Dataset, scope: DecisionScope) -> RunOutput:
        """De-identify neighbouring elements of the top level, private ones in whole groups.

        Raises `RejectedByRule` and `UndecodableText`, by which the whole instance is quarantined.
        """
        self._begin()
        kept = self._applied(elements, scope)
        days, shifted, ran = (frozenset(found) for found in (self._days, self._shifted_days, self._options_ran))
        return RunOutput(kept, tuple(self._changes), self._uids, days, shifted, ran)

    def _applied(self, dataset: Dataset, scope: DecisionScope, path: str = "") -> Dataset:
        """The de-identified elements of a dataset or item at `scope`."""
        outer = self._charset
        if dataset and dataset[0].tag <= tags.SpecificCharacterSet:
            self._charset = values.charset_of(dataset, outer)
        decided = scope.decisions.get
        handlers = self._handlers
        keep = Handling.KEEP
        result: Dataset = []
        append = result.append
        # Vendors write hundreds of private elements at the top level.
        private = PrivateElements(scope, partial(self._note, path=path) if path else self._changes.append)
        for element in dataset:
            tag = element.tag
            if tag & _PRIVATE:
                private_decision = private.decide(element)
                if private_decision is not None:
                    self._keep_private(element, private_decision, private, scope, path, result)
                continue
            decision = decided(tag)
            if decision is None or decision.vr != element.vr:
                decision = scope.decide(tag, element.vr)
            handling = decision.handling
            if handling is keep:
                append(element)
                continue
            kept = handlers[handling](element, decision, scope, path)
            if kept is not None:
                append(kept)
        self._charset = outer
        return result

    def _keep_private(  # noqa: PLR0917
        self,
        element: Element,
        decision: AttributeDecision,
        private: PrivateElements,
        scope: DecisionScope,
        path: str,
        result: Dataset,
    ) -> None:
        read = private.readable(element, decision)
        if read is None:
            return
        kept = self._handle(*read, scope, path)
        if kept is not None:
            private.write(kept, result)

    def _handle(self, element: Element, decision: AttributeDecision, scope: DecisionScope, path: str) -> Element | None:
        if decision.handling is Handling.KEEP:
            return element
        return self._handlers[decision.handling](element, decision, scope, path)

    def _remapped_uid(self, text: str) -> str:
        """Replace a UID of the source; those of the Standard stay."""
        known = self._uids.get(text)
        if known is None:
            if uid.is_well_known(text):
                return text
            known = self._uids[text] = self._patient.remapped(text)
        return known

    def _note_decision(self, decision: AttributeDecision, path: str, action: str = "") -> None:
        """Put on record that a decision was carried out at `path`."""
        change = decision.change
        if action and action != change.action:
            change = AttributeChange(change.path, action, change.rule)
        self._note(change, path)

    def _note(self, change: AttributeChange, path: str) -> None:
        """Put a change on record; its path is under `path`."""
        self._changes.append(AttributeChange(path + change.path, change.action, change.rule) if path else change)

    def _fall_back(
        self, element: Element, decision: AttributeDecision, scope: DecisionScope, path: str
    ) -> Element | None:
        action = {Handling.REMOVE: "X", Handling.EMPTY: "Z"}.get(decision.fallback, "D")
        decision = replace(decision, change=replace(decision.change, action=action))
        return self._handlers[decision.fallback](element, decision, scope, path)

    def _ran(self, decision: AttributeDecision, element: Element) -> None:
        """Put on record the options by which an element stays; of an empty one there is nothing to keep."""
        if decision.options and len(element.value):
            self._options_ran |= decision.options

    # What each handling does. An element is returned to be written, or None to be left out.

    def _retain(self, element: Element, decision: AttributeDecision, scope: DecisionScope, path: str) -> Element:
        self._ran(decision, element)
        return element

    def _remove(self, element: Element, decision: AttributeDecision, scope: DecisionScope, path: str) -> None:
        self._note_decision(decision, path)

    def _empty(self, element: Element, decision: AttributeDecision, scope: DecisionScope, path: str) -> Element:
        if len(element.value):
            self._note_decision(decision, path)
        return Element(element.tag, element.vr, [] if element.vr == "SQ" else b"")

    def _dummy(self, element: Element, decision: AttributeDecision, scope: DecisionScope, path: str) -> Element:
        self._note_decision(decision, path)
        vr = element.vr
        if vr == "SQ":
            if not isinstance(element.value, list):
                return Element(element.tag, vr, [])
            name, inner = decision.change.path, scope.child(element.tag)
            made = dummy_values.items(element.tag, name) or dummy_values.blank_items(
                element.value or [[]], inner, path + name, self._agreeing
            )
            return Element(element.tag, vr, made)
        if vr == "UI" and len(element.value):
            return self._remapped(element)
        return Element(element.tag, vr, dummy_values.value(vr, element.tag))

    def _agreeing(self, element: Element, scope: DecisionScope, path: str) -> Element | None:
        """What stays of a blank item: dates and UIDs as elsewhere, so that they agree, and defined terms."""
        vr = element.vr
        if vr in _AGREEING:
            decision = scope.decide(element.tag, vr)
            if decision.handling in _AGREEING[vr]:
                return self._handle(element, decision, scope, path) or Element(element.tag, vr, b"")
        if vr == "UI":
            return self._remapped(element)
        is_term = vr == "CS" and self._patient.is_vocabulary(element.value)  # type: ignore[arg-type]
        return element if is_term else None

    def _pseudonym(self, element: Element, decision: AttributeDecision, scope: DecisionScope, path: str) -> Element:
        self._note_decision(decision, path)
        return Element(element.tag, element.vr, self._pseudonyms.patient.encode("ascii"))

    def _text(
        self, element: Element, decision: AttributeDecision, scope: DecisionScope, path: str, *, strict: bool
    ) -> Element | None:
        value: bytes = bytes(element.value)  # type: ignore[arg-type]
        try:
            cleaned = self._patient.cleaned(value, element.vr, self._charset, strict)
        except UndecodableText:
            if decision.fallback is not Handling.REMOVE and not path:
                raise UndecodableText(decision.change.path) from None
            return self._fall_back(element, decision, scope, path)
        if cleaned is not None and not cleaned.strip(b" \\"):
            # Nothing stays by the option: the instance is as if it had not been chosen.
            return self._fall_back(element, decision, scope, path)
        self._ran(decision, element)
        if cleaned is None:
            return element
        self._note_decision(decision, path, "C")
        return Element(element.tag, element.vr, cleaned)

    def _remap(self, element: Element, decision: AttributeDecision, scope: DecisionScope, path: str) -> Element:
        remapped = self._remapped(element)
        if remapped is not element:
            self._note_decision(decision, path, "U")
        return remapped

    def _remapped(self, element: Element) -> Element:
        """Replace the UIDs of an element; itself when they are the Standard's."""
        text = str(element.value, "latin-1")  # type: ignore[arg-type]
        uids = [part.strip(" \0") for part in text.split("\\")]
        mapped = [self._remapped_uid(uid) if uid else "" for uid in uids]
        if mapped == uids:
            return element
        return Element(element.tag, element.vr, "\\".join(mapped).encode("ascii"))

    def _shift(self, element: Element, decision: AttributeDecision, scope: DecisionScope, path: str) -> Element | None:
        moved = self._moved(element)
        if moved is None:
            return self._fall_back(element, decision, scope, path)
        self._ran(decision, element)
        if moved is not element:
            change = decision.change
            partial = any(dates.is_partial(part.strip(" \0")) for part in str(element.value, "latin-1").split("\\"))  # type: ignore[arg-type]
            self._note(
                AttributeChange(change.path, "shift", f"{change.rule}: partial date" if partial else change.rule), path
            )
        return moved

    def _moved(self, element: Element) -> Element | None:
        """An element with its dates moved; None when it holds something that is no date."""
        moved: list[str] = []
        for part in str(element.value, "latin-1").split("\\"):  # type: ignore[arg-type]
            text = part.strip(" \0")
            shifted = dates.shift(text, self._pseudonyms.date_shift_days) if text else ""
            if shifted is None:
                return None
            moved.append(shifted)
            if shifted:
                self._days.add(text[:8])
                self._shifted_days.add(shifted[:8])
        return Element(element.tag, element.vr, "\\".join(moved).encode("ascii")) if any(moved) else element

    def _time(self, element: Element, decision: AttributeDecision, scope: DecisionScope, path: str) -> Element | None:
        if dates.fits(element.vr, str(element.value, "latin-1")):  # type: ignore[arg-type]
            self._ran(decision, element)
            return element
        return self._fall_back(element, decision, scope, path)

    def _number(self, element: Element, decision: AttributeDecision, scope: DecisionScope, path: str) -> Element | None:
        if not bytes(element.value).translate(None, _NUMERIC):  # type: ignore[arg-type]
            self._ran(decision, element)
            return element
        return self._fall_back(element, decision, scope, path)

    def _csa(self, element: Element, decision: AttributeDecision, scope: DecisionScope, path: str) -> Element | None:
        cleaned = csa_header.cleaned(bytes(element.value))  # type: ignore[arg-type]
        if cleaned is None:
            return self._fall_back(element, decision, scope, path)
        self._note_decision(decision, path)
        return Element(element.tag, element.vr, cleaned)

    def _age(self, element: Element, decision: AttributeDecision, scope: DecisionScope, path: str) -> Element | None:
        years = dates.years(bytes(element.value).strip(b" \0"))  # type: ignore[arg-type]
        if years is None:
            return self._fall_back(element, decision, scope, path)
        self._ran(decision, element)
        cap = self._profile.age_cap_years
        if cap is None or years <= cap:
            return element
        self._note_decision(decision, path, "C")
        return Element(element.tag, element.vr, b"%03dY" % (cap + 1))

    def _replace(self, element: Element, decision: AttributeDecision, scope: DecisionScope, path: str) -> Element:
        self._note_decision(decision, path)
        return Element(element.tag, element.vr, substitute.literal(decision.argument, element.vr))

    def _hash(self, element: Element, decision: AttributeDecision, scope: DecisionScope, path: str) -> Element:
        self._note_decision(decision, path)
        return Element(element.tag, element.vr, substitute.hashed(element, self._pseudonyms.uid_key))

    def _truncate(
        self, element: Element, decision: AttributeDecision, scope: DecisionScope, path: str
    ) -> Element | None:
        shorter = substitute.truncated(element, int(decision.argument), self._charset)
        if shorter is not element:
            self._note_decision(decision, path)
        return self._text(shorter, decision, scope, path, strict=False)

    def _reject(self, element: Element, decision: AttributeDecision, scope: DecisionScope, path: str) -> Element:
        if len(element.value):
            raise RejectedByRule(path + decision.change.path, decision.change.rule)
        return element

    def _recurse(
        self, element: Element, decision: AttributeDecision, scope: DecisionScope, path: str
    ) -> Element | None:
        if not isinstance(element.value, list):
            return self._fall_back(element, decision, scope, path)
        self._ran(decision, element)
        inner = scope.child(element.tag)
        name = path + decision.change.path
        items = [self._applied(item, inner, f"{name}[{place}].") for place, item in enumerate(element.value)]
        return Element(element.tag, "SQ", items)

    def _content(
        self, element: Element, decision: AttributeDecision, scope: DecisionScope, path: str
    ) -> Element | None:
        if not isinstance(element.value, list):
            return self._fall_back(element, decision, scope, path)
        self._ran(decision, element)
        items = self._content_items.clean(element.value, scope.child(element.tag), path + decision.change.path)
        if not items and element.value and element.tag == tags.ContentSequence:
            # Type 1C (PS3.3 §C.17.3): there is none where there is no content below.
            return None
        return Element(element.tag, "SQ", items)
