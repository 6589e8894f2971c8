#!/usr/bin/env python3
"""Writes the example's visits and labels from the 303 real patients of fixtures/heart/heart_cleveland.csv.

    scripts/make_heart_data.py [FOLDER]

The real data has one row a patient and no dates. Here each real row becomes a patient's first visit, with a
made-up date, and is otherwise untouched (``simulated`` is 0). Follow-up visits wander from it (``simulated`` is 1).
The files are what a hospital would send, one a quarter, by the time a row arrived: a few rows arrive late, a few
measurements are missing, and a few mistyped cholesterols are sent again corrected, with a later ``updated_at``.

The same bytes every time: only ``random()`` is drawn, which Python promises to keep, and only arithmetic that
rounds alike everywhere is done with it.
"""

import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from random import Random

FOLDER = Path(__file__).resolve().parent.parent / "fixtures" / "heart"
REAL = FOLDER / "heart_cleveland.csv"

SEED = 1988
START, END = date(2024, 1, 2), date(2025, 3, 31)
LAST_FIRST_VISIT = date(2024, 8, 30)
LATEST_QUARTER = "2025Q1"  # laid beside the others, as the file that arrives next

CLINICAL = (
    "age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope", "ca", "thal",
)  # fmt: skip
STRESS_TEST = ("thalach", "exang", "oldpeak", "slope")
VISIT_COLUMNS = ("patient_id", "visit_at", "updated_at", *CLINICAL, "simulated")
LABEL_COLUMNS = ("patient_id", "diagnosed_at", "diagnosis")

LATE = 0.03  # of the rows arrive weeks after the visit
NO_STRESS_TEST = 0.04  # of the follow-ups
NO_CHOLESTEROL = 0.03  # of the follow-ups
TYPOS = 6  # cholesterols sent with two digits swapped, and corrected later
NEW_ANALYSER = date(2025, 1, 1)  # from this day on the simulated laboratory reads cholesterol higher,
ANALYSER_BIAS = 40  # by so many mg/dl: something for drift detection to find


@dataclass(frozen=True)
class Visit:
    patient_id: str
    visit_at: datetime
    updated_at: datetime
    values: dict[str, str]
    simulated: int

    @property
    def quarter(self) -> str:
        """The file it arrives in."""
        return f"{self.updated_at.year}Q{(self.updated_at.month + 2) // 3}"

    def row(self) -> list[str]:
        times = (moment.isoformat() + "Z" for moment in (self.visit_at, self.updated_at))
        return [self.patient_id, *times, *(self.values[name] for name in CLINICAL), str(self.simulated)]


@dataclass
class Dice:
    """Draws from a seeded stream, by arithmetic that is the same on every machine."""

    random: Random = field(default_factory=lambda: Random(SEED))

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def between(self, low: int, high: int) -> int:
        """A whole number, both ends possible."""
        return low + int(self.random.random() * (high - low + 1))

    def wobble(self, width: float) -> float:
        """About zero, at most ``width`` either way, the middle more likely than the ends."""
        return (self.random.random() - self.random.random()) * width

    def moment(self, day: date) -> datetime:
        """A quarter of an hour within the opening hours of the first weekday from ``day`` on."""
        day += timedelta(days=(7 - day.weekday()) % 7 if day.weekday() > 4 else 0)
        return datetime.combine(day, time(8)) + timedelta(minutes=15 * self.between(0, 35))

    def arrival(self, visit_at: datetime) -> datetime:
        if self.chance(LATE):
            return visit_at + timedelta(days=self.between(20, 70), minutes=self.between(0, 600))
        return visit_at + timedelta(minutes=self.between(30, 1800))


def read_patients() -> list[dict[str, str]]:
    with REAL.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def visits_of(patient: dict[str, str], dice: Dice) -> Iterator[Visit]:
    """The real row, then follow-ups until the end."""
    patient_id = patient["patient_id"].zfill(3)
    values = {name: patient[name] for name in CLINICAL}
    day = START + timedelta(days=dice.between(0, (LAST_FIRST_VISIT - START).days))
    birthday = day + timedelta(days=dice.between(1, 365))
    visit_at = dice.moment(day)
    yield Visit(patient_id, visit_at, dice.arrival(visit_at), values, 0)
    while True:
        day += timedelta(days=dice.between(45, 150))
        if day > END - timedelta(days=3):
            return
        if day >= birthday:
            values = values | {"age": str(int(values["age"]) + 1)}
            birthday += timedelta(days=365)
        values = follow_up(values, dice)
        visit_at = dice.moment(day)
        yield Visit(patient_id, visit_at, dice.arrival(visit_at), measured(values, day, dice), 1)


def follow_up(before: dict[str, str], dice: Dice) -> dict[str, str]:
    """A patient under treatment some months later: close to the last visit, a little better on the whole."""
    values = dict(before)
    values["trestbps"] = str(clip(int(before["trestbps"]) - 1 + round(dice.wobble(12)), 90, 200))
    values["chol"] = str(clip(int(before["chol"]) - 3 + round(dice.wobble(30)), 120, 560))
    values["thalach"] = str(clip(int(before["thalach"]) + round(dice.wobble(14)), 70, 205))
    tenths = clip(round(float(before["oldpeak"]) * 10) + round(dice.wobble(6)), 0, 62)
    values["oldpeak"] = f"{tenths // 10}.{tenths % 10}"
    if dice.chance(0.06):
        values["exang"] = "1" if before["exang"] == "0" else "0"
    if dice.chance(0.03):
        values["fbs"] = "1" if before["fbs"] == "0" else "0"
    return values


def measured(values: dict[str, str], day: date, dice: Dice) -> dict[str, str]:
    """What was written down of it: a test that was not done is an empty field."""
    written = dict(values)
    if day >= NEW_ANALYSER:
        written["chol"] = str(int(values["chol"]) + ANALYSER_BIAS)
    if dice.chance(NO_CHOLESTEROL):
        written["chol"] = ""
    if dice.chance(NO_STRESS_TEST):
        written |= dict.fromkeys(STRESS_TEST, "")
    return written


def clip(value: int, low: int, high: int) -> int:
    return max(low, min(high, value))


def with_typos(visits: Sequence[Visit], dice: Dice) -> Iterator[Visit]:
    """Some cholesterols are first sent with two digits swapped (258 as 528) and sent again when somebody noticed.

    Only simulated visits, and only such as the next quarter's file corrects.
    """
    candidates = [n for n, visit in enumerate(visits) if visit.simulated and visit.values["chol"][:2] in ("25", "26")]
    last_before = [n for n in candidates if visits[n].quarter == "2024Q4"]
    spread = [candidates[(2 * n + 1) * len(candidates) // (2 * TYPOS)] for n in range(TYPOS - 2)]
    chosen = {*spread, last_before[0], last_before[-1]}
    for n, visit in enumerate(visits):
        if n not in chosen:
            yield visit
            continue
        right = visit.values["chol"]
        yield replace(visit, values=visit.values | {"chol": right[1] + right[0] + right[2]})
        yield replace(visit, updated_at=visit.updated_at + timedelta(days=dice.between(88, 92)))


def labels(patients: Iterable[dict[str, str]], visits: Sequence[Visit], dice: Dice) -> Iterator[list[str]]:
    """One diagnosis a patient (is ``num`` above 0?), dated before, at, between or after the visits."""
    times: dict[str, list[datetime]] = {}
    for visit in visits:
        times.setdefault(visit.patient_id, []).append(visit.visit_at)
    for patient in patients:
        patient_id = patient["patient_id"].zfill(3)
        seen = sorted(set(times[patient_id]))
        kind = dice.between(1, 100)
        if kind <= 8:  # nothing was known yet
            at = seen[0] - timedelta(days=dice.between(1, 40))
        elif kind <= 14:  # on the visit itself, to the second
            at = seen[dice.between(0, len(seen) - 1)]
        else:
            at = seen[0] + timedelta(hours=dice.between(20, 24 * (END - seen[0].date()).days))
        yield [patient_id, at.isoformat() + "Z", "1" if patient["num"] != "0" else "0"]


def unclean(patients: Sequence[dict[str, str]]) -> Iterator[list[str]]:
    """Three good visits and five that break a rule of featurestore.toml, each in its own way."""
    at = datetime(2025, 4, 1, 9)
    breaks: tuple[dict[str, str], ...] = (
        {}, {"age": "430"}, {}, {"sex": "F"}, {"chol": "23"}, {"thal": "5"}, {}, {"patient_id": ""},
    )  # fmt: skip
    for n, (patient, wrong) in enumerate(zip(patients, breaks, strict=False)):
        visit_at = at + timedelta(minutes=30 * n)
        values = {name: patient[name] for name in CLINICAL}
        visit = Visit(patient["patient_id"].zfill(3), visit_at, at + timedelta(hours=8), values, 1)
        yield list((dict(zip(VISIT_COLUMNS, visit.row(), strict=True)) | wrong).values())


def write(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def main(folder: Path) -> None:
    dice = Dice()
    patients = read_patients()
    planned = sorted(
        (visit for patient in patients for visit in visits_of(patient, dice)),
        key=lambda visit: (visit.updated_at, visit.patient_id),
    )
    arrived = [visit for visit in with_typos(planned, dice) if visit.quarter <= LATEST_QUARTER]
    arrived.sort(key=lambda visit: (visit.updated_at, visit.patient_id))
    for quarter in sorted({visit.quarter for visit in arrived}):
        place = folder / "incoming" if quarter == LATEST_QUARTER else folder
        rows = [visit.row() for visit in arrived if visit.quarter == quarter]
        write(place / f"visits-{quarter}.csv", VISIT_COLUMNS, rows)
    write(folder / "incoming" / "unclean.csv", VISIT_COLUMNS, unclean(patients))
    write(folder / "labels.csv", LABEL_COLUMNS, labels(patients, arrived, dice))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
