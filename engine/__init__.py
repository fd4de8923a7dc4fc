"""Networks, losses, optimizers, learning rules and data, from scratch over one small Backend.

    net = Network(Dense(64), Relu(), Dense(2), input_shape=(4,))
    backend = NumPyBackend()
    params = backend.asarray(net.init(np.random.default_rng(0)))
    y = Pass(net, backend, capacity=32).forward(params, x)

A network holds no numbers: its parameters are one flat vector. A pass holds its activations on a
backend. ``engine.backend`` says what a backend must do; ``engine.layers`` what there is to build;
``engine.tensor`` has plain arithmetic, sums and extremes of whole arrays.
"""
