// CartPole: keep a pole upright. CartPole.exe [ADDRESS] [train|eval] [EPISODES]
using System;
using Agentd;

public sealed class CartPoleGame {
    public readonly double[] State = new double[4]; // x, its speed, angle, its speed
    public int Elapsed;

    public float[] Seen => Array.ConvertAll(State, number => (float)number);

    public void Reset(Random random) {
        for (int i = 0; i < 4; i++) State[i] = random.NextDouble() / 10 - 0.05;
        Elapsed = 0;
    }

    /// <summary>Push left (0) or right (1) for 20 ms, by Euler's rule; where that leaves us.</summary>
    public Kind Step(int action) {
        double[] s = State;
        double cos = Math.Cos(s[2]), sin = Math.Sin(s[2]);
        double push = ((action == 1 ? 10 : -10) + 0.05 * (s[3] * s[3]) * sin) / 1.1;
        double turn = (9.8 * sin - cos * push) / (0.5 * (4.0 / 3.0 - 0.1 * (cos * cos) / 1.1));
        s[0] += 0.02 * s[1];
        s[1] += 0.02 * (push - 0.05 * turn * cos / 1.1);
        s[2] += 0.02 * s[3];
        s[3] += 0.02 * turn;
        if (Math.Abs(s[0]) > 2.4 || Math.Abs(s[2]) > 24 * Math.PI / 360) return Kind.Terminated;
        return ++Elapsed >= 500 ? Kind.Truncated : Kind.Mid;
    }
}

public static class CartPole {
    public static void Main(string[] args) {
        string address = args.Length > 0 ? args[0] : "127.0.0.1:7331";
        var options = new ConnectOptions { Role = args.Length > 1 ? args[1] : "train" };
        int episodes = args.Length > 2 ? int.Parse(args[2]) : 500;
        var state = new[] { Tensor.Float32("state", 4) };
        var game = new CartPoleGame();
        var random = new Random();
        double mean = 0;
        using (var agent = AgentdClient.Connect(address, "cartpole", state, ActionSpace.Discrete(2), options)) {
            for (int episode = 1; episode <= episodes; episode++) {
                int length = 0;
                game.Reset(random);
                agent.Frame.Add(0, Kind.First).Obs(game.Seen); // goes with the row that ended
                for (Kind kind = Kind.First; kind <= Kind.Mid; length++) {
                    agent.Step();
                    kind = game.Step(agent.ActionOf(0));
                    agent.Frame.Add(0, kind, 1).Obs(game.Seen);
                }
                mean += (length - mean) / Math.Min(episode, 100);
                if (episode % 10 == 0) Console.WriteLine("{0} episodes: return {1:0.0}", episode, mean);
            }
            agent.Step();
        }
    }
}
