"""What ``numpynet train`` can be told: from names and numbers to a network and a plan, or an error that says what is wrong."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace

from numpynet import dropout_choices, equations, initializers, optimizers, schedules
from numpynet.network import MLP
from numpynet.optimizers import Decay
from numpynet.plan import TrainingPlan


def check_options(options: Namespace) -> None:
    """Raise if an option would be without effect, or if the same run would be counted twice.

    Parameters
    ----------
    options : what ``numpynet train`` parsed

    Raises
    ------
    ValueError
        An option has no effect, one that is needed is missing, or a seed is given twice.

    Examples
    --------
    >>> from numpynet.cli import build_parser
    >>> check_options(build_parser().parse_args(["train", "--momentum", "0.5"]))
    Traceback (most recent call last):
    ...
    ValueError: --momentum is for momentum and nesterov; it would have no effect on sgd
    """
    for name, value, fits, needed in (
        ("--momentum", options.momentum, ("momentum", "nesterov"), options.optimizer),
        ("--decay-every", options.decay_every, ("step",), options.schedule),
        ("--decay-factor", options.decay_factor, ("step", "exponential"), options.schedule),
    ):
        if value is not None and needed not in fits:
            raise ValueError(f"{name} is for {' and '.join(fits)}; it would have no effect on {needed}")
    if options.schedule == "step" and options.decay_every is None:
        raise ValueError("--schedule step needs --decay-every STEPS")
    if options.data_folder is not None and options.data != "mnist":
        raise ValueError(f"--data-folder is for mnist; {options.data} needs no files")
    if len(set(options.seed)) < len(options.seed):
        raise ValueError(
            f"--seed {' '.join(map(str, options.seed))} names a seed twice: replicates must be independent"
        )
    dropout_choices.check_dropout(options)
    if dropout_choices.kind_of(options) == "alpha" and options.activation not in (None, "selu"):
        raise ValueError(
            f"--dropout alpha keeps mean and variance of SELU units, but --activation is {options.activation}: "
            "leave it out, or give selu"
        )


def network_of(options: Namespace, sizes: tuple[int, ...]) -> MLP:
    """Return the network, with the rules of its kind of dropout.

    Parameters
    ----------
    options : what ``numpynet train`` parsed
    sizes : units of the inputs, of each hidden layer and of the output

    Returns
    -------
    MLP; with alpha dropout its activation is SELU.

    Raises
    ------
    ValueError
        A keep probability or a kind of dropout does not fit the layers, or its masks would take too much memory.

    Examples
    --------
    >>> from numpynet.cli import build_parser
    >>> options = build_parser().parse_args(["train", "--dropout", "alpha", "--keep-prob", "0.9"])
    >>> network_of(options, (64, 30, 10)).activation.name
    'selu'
    """
    kind = dropout_choices.kind_of(options)
    activation = getattr(equations, options.activation or ("selu" if kind == "alpha" else "relu"))
    keep_prob = 1.0 if options.keep_prob is None else options.keep_prob
    if len(sizes) == 2 and isinstance(keep_prob, float) and keep_prob < 1:
        raise ValueError(f"--keep-prob {keep_prob:g} is for the hidden layers, but this network has none")
    net = MLP(sizes, activation=activation, keep_prob=keep_prob)
    dropout_choices.check_memory(options, sizes, net.keep_probs)
    dropout_choices.check_candidates(options, sizes)
    rules = dropout_choices.rules_of(options, net.keep_probs)
    return net if rules is None else MLP(sizes, activation=activation, rules=rules)


def plan_of(options: Namespace, n_train: int) -> TrainingPlan:
    """Return how to train: names become records; the command line is the only place where a string chooses.

    Parameters
    ----------
    options : what ``numpynet train`` parsed
    n_train : training examples, from which the steps of an epoch follow

    Returns
    -------
    TrainingPlan; its schedules count steps

    Raises
    ------
    ValueError
        The warm-up is not shorter than the run, or a number is out of range.

    Examples
    --------
    >>> from numpynet.cli import build_parser
    >>> plan_of(build_parser().parse_args(["train", "--optimizer", "adam"]), 100).schedule
    Constant(lr=0.001)
    """
    adaptive = options.optimizer in ("rmsprop", "adam", "adamw")
    lr = options.lr if options.lr is not None else (1e-3 if adaptive else 0.1)
    momentum = 0.9 if options.momentum is None else options.momentum
    optimizer = {
        "sgd": optimizers.SGD(),
        "momentum": optimizers.Momentum(momentum),
        "nesterov": optimizers.Nesterov(momentum),
        "rmsprop": optimizers.RMSProp(),
        "adam": optimizers.Adam(),
        "adamw": optimizers.Adam(),
    }[options.optimizer]
    decoupled = options.optimizer == "adamw"
    decay = Decay(
        coupled=0.0 if decoupled else options.weight_decay,
        decoupled=options.weight_decay if decoupled else 0.0,
        max_norm=options.max_norm,
    )
    epochs = 10 if options.epochs is None and options.steps is None else options.epochs
    plan = TrainingPlan(
        epochs=epochs,
        steps=options.steps,
        batch_size=options.batch_size,
        optimizer=optimizer,
        schedule=schedules.Constant(lr),
        decay=decay,
        loss=dropout_choices.loss_of(options),
        evaluate_every=options.evaluate_every,
        initializer=getattr(initializers, options.initializer),
        dtype=options.dtype,
    )
    total = plan.total_steps(n_train)
    if not 0 <= options.warmup < total:
        raise ValueError(f"--warmup is {options.warmup}, but 0 <= warm-up < {total}, the steps of the run, is needed")
    factor = 0.1 if options.decay_factor is None else options.decay_factor
    schedule: schedules.Schedule = plan.schedule
    if options.schedule == "cosine":
        schedule = schedules.Cosine(lr, steps=total - options.warmup)
    elif options.schedule == "step":
        schedule = schedules.Step(lr, factor, options.decay_every)
    elif options.schedule == "exponential":
        schedule = schedules.Exponential(lr, factor ** (1 / total))  # falls to the factor over the whole run
    if options.warmup:
        schedule = schedules.Warmup(options.warmup, schedule)
    return replace(plan, schedule=schedule, keep_schedule=dropout_choices.keep_schedule_of(options, total))
