"""The prober in worker processes: the same targets in and transitions out, on as many processors as are wanted.

``pool`` is what the engine holds; ``ledger`` is what it knows of its targets; ``shard`` keeps one worker alive, and
``outbox`` has what that is to be told; ``worker`` is what runs in the process; ``wire`` is what they say to each other
and ``link`` how; ``rules`` are the checks as they are sent, and ``counts`` the sums of what workers count.
"""
