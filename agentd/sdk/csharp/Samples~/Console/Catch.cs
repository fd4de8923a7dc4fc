// Catch: a ball falls, a paddle waits at the bottom. Catch.exe [ADDRESS] [train|eval] [EPISODES]
using System;
using Agentd;

public sealed class CatchGame {
    public const int Rows = 10, Columns = 5;
    public readonly float[] Board = new float[Rows * Columns];
    public int BallRow, BallColumn, Paddle;

    public void Reset(int column) {
        BallRow = 0;
        BallColumn = column;
        Paddle = Columns / 2;
        Draw();
    }

    /// <summary>Move the paddle left (0), not (1) or right (2), drop the ball; the reward.</summary>
    public float Step(int action) {
        Paddle = Math.Max(0, Math.Min(Columns - 1, Paddle + action - 1));
        BallRow++;
        Draw();
        return BallRow < Rows - 1 ? 0 : BallColumn == Paddle ? 1 : -1;
    }

    private void Draw() {
        Array.Clear(Board, 0, Board.Length);
        Board[BallRow * Columns + BallColumn] = Board[(Rows - 1) * Columns + Paddle] = 1;
    }
}

public static class Catch {
    public static void Main(string[] args) {
        string address = args.Length > 0 ? args[0] : "127.0.0.1:7331";
        var options = new ConnectOptions { Role = args.Length > 1 ? args[1] : "train" };
        int episodes = args.Length > 2 ? int.Parse(args[2]) : 2000;
        var board = new[] { Tensor.Float32("board", 10, 5) };
        var game = new CatchGame();
        var random = new Random();
        double mean = 0;
        using (var agent = AgentdClient.Connect(address, "catch", board, ActionSpace.Discrete(3), options)) {
            for (int episode = 1; episode <= episodes; episode++) {
                float reward = 0;
                game.Reset(random.Next(CatchGame.Columns));
                agent.Frame.Add(0, Kind.First).Obs(game.Board); // goes with the row that ended
                while (reward == 0) {
                    agent.Step();
                    reward = game.Step(agent.ActionOf(0));
                    agent.Frame.Add(0, reward == 0 ? Kind.Mid : Kind.Terminated, reward).Obs(game.Board);
                }
                mean += (reward - mean) / Math.Min(episode, 100);
                if (episode % 50 == 0) Console.WriteLine("{0} episodes: return {1:0.00}", episode, mean);
            }
            agent.Step();
        }
    }
}
