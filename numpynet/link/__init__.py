"""The link between dropout and lottery tickets, measured: experiments in which both masks meet.

The laws that connect the two are in ``numpynet.equations.mask_law``; what follows from them is exact. What training makes of
them is not, and is measured here, replicate by replicate, with paired intervals. ``numpynet link list`` shows what there is.
"""
