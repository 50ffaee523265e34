"""Looking at a state from outside: is it what the topics say, what does it hold, make it anew.

Nothing here decides anything or joins the worker's group; `vigia state` is the thin front of it.
"""
