#!/usr/bin/env python3
"""Writes stories with questions in the form of BABILong's files, in sentences of our own.

    scripts/babi.py qa1 10000 --seed 1 > train.jsonl

A line is {"input": STORY, "question": QUESTION, "target": WORD}. The tasks are those of bAbI (Weston et al. 2015) that
BABILong (Kuratov et al. 2024) has most results for:

    qa1  where is a person: one fact answers (the last walk of that person)
    qa2  where is a thing: two facts (who has it, and where that person went)
    qa3  where was a thing before it was somewhere: three facts

Without --facts a story has 4 to 10 of them. --filler N puts N words of other text between them, as BABILong does with
books.
"""
import argparse
import json
import random
import sys

PEOPLE = ["Ada", "Bruno", "Clara", "David", "Emil", "Flora"]
PLACES = ["attic", "bakery", "cellar", "garden", "library", "workshop"]
THINGS = ["lamp", "apple", "ladder", "letter"]
WALKS = ["{who} walked to the {place}.", "{who} went over to the {place}.", "{who} is off to the {place}."]
TAKES = ["{who} picked up the {thing}.", "{who} took the {thing} along."]
DROPS = ["{who} put the {thing} down.", "{who} left the {thing} there."]
FILLER = ("rain fell on the roof while the clock ticked and nobody counted the hours of that long grey "
          "afternoon in the old house by the river").split()


class Story:
    """The facts so far, and what is true after them."""

    def __init__(self, rng):
        self.rng = rng
        self.facts = []
        self.at = {}     # place of each person
        self.holder = {}  # person of each thing that is carried
        self.been = {}   # places of each thing, in order, none twice in a row

    def tell(self, forms, **words):
        self.facts.append(self.rng.choice(forms).format(**words))

    def see(self, thing, place):
        if self.been.setdefault(thing, []) == [] or self.been[thing][-1] != place:
            self.been[thing].append(place)

    def walk(self, who):
        place = self.rng.choice([p for p in PLACES if p != self.at.get(who)])
        self.at[who] = place
        self.tell(WALKS, who=who, place=place)
        for thing, holder in self.holder.items():
            if holder == who:
                self.see(thing, place)

    def take(self, who, thing):
        self.holder[thing] = who
        self.tell(TAKES, who=who, thing=thing)
        self.see(thing, self.at[who])

    def drop(self, thing):
        self.tell(DROPS, who=self.holder.pop(thing), thing=thing)

    def step(self, things):
        who = self.rng.choice(PEOPLE[:4])
        carried = [t for t, holder in self.holder.items() if holder == who]
        if things and who in self.at and self.rng.random() < 0.4:
            if carried and self.rng.random() < 0.4:
                return self.drop(self.rng.choice(carried))
            free = [t for t in THINGS if t not in self.holder]
            here = [t for t in free if t not in self.been or self.been[t][-1] == self.at[who]]
            if here:
                return self.take(who, self.rng.choice(here))
        return self.walk(who)


def question(task, story):
    """A question that the story answers, with its answer; None if it answers none."""
    rng = story.rng
    if task == "qa1":
        who = rng.choice(sorted(story.at))
        return f"Where is {who}?", story.at[who]
    if task == "qa2":
        if not story.been:
            return None
        thing = rng.choice(sorted(story.been))
        return f"Where is the {thing}?", story.been[thing][-1]
    moved = [t for t in sorted(story.been) if len(story.been[t]) > 1]
    if not moved:
        return None
    thing = rng.choice(moved)
    at = rng.randrange(1, len(story.been[thing]))
    if story.been[thing].count(story.been[thing][at]) > 1:
        return None  # two answers
    return f"Where was the {thing} before the {story.been[thing][at]}?", story.been[thing][at - 1]


def sample(task, rng, facts, filler):
    while True:
        story = Story(rng)
        for _ in range(facts or rng.randint(4, 10) * (1 if task == "qa1" else 2)):
            story.step(task != "qa1")
        asked = question(task, story)
        if asked:
            break
    text = story.facts
    if filler:
        text = []
        for fact in story.facts:
            text += [" ".join(rng.choice(FILLER) for _ in range(max(1, filler // len(story.facts)))) + ".", fact]
    return {"input": " ".join(text), "question": asked[0], "target": asked[1]}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("task", choices=["qa1", "qa2", "qa3"])
    p.add_argument("samples", type=int)
    p.add_argument("--seed", type=int, default=1, help="samples of two seeds have nothing in common but chance")
    p.add_argument("--facts", type=int, default=0, help="sentences of a story; 0: 4 to 10, twice as many of qa2 and qa3")
    p.add_argument("--filler", type=int, default=0, help="words of other text in a story")
    a = p.parse_args()
    least = {"qa1": 1, "qa2": 2, "qa3": 3}[a.task]
    if a.samples < 1:
        p.error(f"samples is {a.samples}: it must be at least 1")
    if a.facts != 0 and a.facts < least:
        p.error(f"--facts {a.facts}: {a.task} needs at least {least} sentences to have an answer; 0 draws their number")
    rng = random.Random(f"{a.task} {a.seed}")
    for _ in range(a.samples):
        sys.stdout.write(json.dumps(sample(a.task, rng, a.facts, a.filler)) + "\n")


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:  # who reads has enough
        sys.stderr.close()
