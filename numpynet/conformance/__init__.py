"""The conformance suite: what must be true of layers, masks and lottery tickets, put to anybody's code.

Your own file, from any folder::

    NUMPYNET_UNDER_TEST=layers.py pytest --pyargs numpynet.conformance
    NUMPYNET_UNDER_TEST=layers.py pytest --pyargs numpynet.conformance -m linear_backward      # one function
    pytest --pyargs numpynet.conformance                                                       # this package itself

``NUMPYNET_UNDER_TEST`` is the path of a .py file or the dotted name of a module; it defines what it has got of the
contract below. A function that is not there is skipped ("WAIT: ... is not defined"), one that raises
NotImplementedError is waited for; the list of them stands at the end. A failure is the report of
``numpynet.gradcheck``: where, how much, the most likely cause, and a ``numpynet check`` command for the same function.
The same laws without pytest: ``numpynet check layers.py``.

Functions of the contract, each with a marker of its name (``contract`` says how each is called):

===========  =========================================================================================================
layers       linear_forward, linear_backward, relu_forward, relu_backward, dropout_forward, dropout_backward,
             softmax_cross_entropy_forward, softmax_cross_entropy_backward, l2_penalty_forward, l2_penalty_backward,
             mask_gradients, network_loss
masks        sample_mask, prune_count, prune_lowest, prune, rewind
tickets      begin_ticket, train_ticket, prune_ticket, rewind_ticket, reinit_ticket, save_ticket, load_ticket
===========  =========================================================================================================

What is asked of them: values to the last bit where the equation allows it, evaluation, extremes (``layer_laws``);
gradients by the complex step with random upstream gradients; purity of arguments, caches and results; dtypes; a second
forward pass in between; the statistics of masks, with bounds that a right implementation fails once in 10^9 runs; exact
counts, also among ties (``mask_laws``); no revival under any optimizer that is offered; rewinding to the very bits of the
start (``ticket_laws``); and a ticket that is trained, pruned, rewound, re-initialised, saved and loaded in an order that
Hypothesis chooses (``walk``, ``machine``). That the suite finds something in wrong code is tested as well: it kills every
bug of ``numpynet.gradcheck.zoo`` and every mutant in ``mutants``.

How thorough it is says ``HYPOTHESIS_PROFILE``: dev (15 examples, always the same), explore (15 new ones), student (25,
always the same; taken when a file is under test), ci (50, always the same) or thorough (1000 new ones).

What it cannot see: a mistake in a law that no law is about, such as a slow or an ugly way to the right numbers; with
few examples, what happens once in a thousand draws.
"""
