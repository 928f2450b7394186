"""What is to be done about a sink, and what is to be said of it: observed objects in, actions and status out. Pure.

No clock, client or logger: time comes with the observation. `plan` joins the others, each of which decides one thing:
`fleet` (pods, claims and Jobs by ordinal) is what all of them look at; `scaling`, `orphans`, `growth`, `deletion` are
the machines about volumes; `wishes`, `references`, `children`, `drift` say what ought to be there and what differs;
`facts`, `conditions`, `status` say it to people.
"""
