"""Lottery tickets: subnetworks that train well from their own initial weights, and the controls that show it.

The pieces, to put together by hand:

    rewinding        where survivors start again: theta_0, theta_k, the learning rate, fine-tuning
    controls         other weights, other masks, as many of them
    actions          what survivors start from, where pruned weights stay
    supermasks       masks that are learned on frozen weights, at random ...
    edge_popup       ... or by rank
    score_training   the loop that learns them
    instability      the error between two runs
    ticket           a ticket as a record and as a file

The experiment made of them:

    imp              train, prune, rewind, level by level, controls beside it
    arms, prune_rules, experiment, presets     what one can choose
    run, outcomes                              a run that can be killed and resumed
    run_folder, training_files, curves, run_results    its files
    analysis                                   paired differences and intervals
"""
