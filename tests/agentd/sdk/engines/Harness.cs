// What the tests ask of the C# client: Harness.exe CASE [ADDRESS] [NUMBER], results on stdout.
using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using Agentd;

public static class Harness {
    private static readonly Tensor[] Board = { Tensor.Float32("board", 2) };

    public static void Main(string[] args) {
        string address = args.Length > 1 ? args[1] : "";
        int number = args.Length > 2 ? int.Parse(args[2]) : 0;
        if (args[0] == "vectors") Vectors();
        else if (args[0] == "build") Build();
        else if (args[0] == "dynamics") Dynamics();
        else if (args[0] == "conform") Environment.Exit(Conform(address, ActionSpace.MultiDiscrete(3, 2)));
        else if (args[0] == "mixed")
            Environment.Exit(Conform(address, ActionSpace.Mixed(Head.Choice(5), Head.Range(-1, 1))));
        else if (args[0] == "walk") Walk(address, number);
        else if (args[0] == "loop") Loop(address, number);
        else if (args[0] == "refusals") Refusals(address);
        else if (args[0] == "levels") Levels(address);
        else if (args[0] == "takeover") TakeOver(address);
    }

    /// <summary>Bodies in hex come in; each goes out as it was read, and as it is written again.</summary>
    private static void Vectors() {
        for (string line; (line = Console.ReadLine()) != null;) {
            byte[] body = Bytes(line);
            var map = new Dictionary<string, object>();
            new Unpacker(body, 0, body.Length).Message(map);
            var to = new Packer();
            to.Value(map);
            Console.WriteLine(Text(map) + "\t" + Hex(to.Bytes, 0, to.Count));
        }
    }

    /// <summary>Frames as the client itself makes them, and acts as a game reads them.</summary>
    private static void Build() {
        Hello("hello", 1, new ConnectOptions { Client = "catch-demo", Streams = 2 });
        Hello("hello-newer", 2, new ConnectOptions { Client = "catch-demo", Streams = 2, DtMs = 16.7 });
        Hello("hello-level", 2, new ConnectOptions { Client = "catch-demo", Role = "play", Streams = 2, Level = 40 });
        Hello("hello-resume", 1, new ConnectOptions { Client = "catch-demo", Streams = 2 },
            resume: Enumerable.Range(0xa0, 16).Select(i => (byte)i).ToArray());
        Hello("hello-multi", 1, new ConnectOptions { Client = "arena/2.1", Role = "play",
            Token = "a-token-of-16-chars", Explain = true, DeadlineMs = 50, Bulk = true },
            "arena.v2", ActionSpace.MultiDiscrete(3, 2), Tensor.UInt8("view", 3, 8, 8), Tensor.Int32("ammo"));
        var car = new ConnectOptions { Client = "car" };
        Hello("hello-box", 2, car, "car", ActionSpace.Box(new[] { -1f, 0f }, new[] { 1f, 1f }),
            Tensor.Float32("see", 8));
        Hello("hello-mixed", 2, car, "car.shift", ActionSpace.Mixed(Head.Range(-1, 1, "wheel"), Head.Choice(3)),
            Tensor.Float32("see", 8));
        var client = new AgentdClient("127.0.0.1", "catch", Board, ActionSpace.Discrete(3),
            new ConnectOptions { Streams = 2 });
        client.Frame.Add(0, Kind.Mid, 0.5f).Obs(1, 0).Mask(2, false);
        client.Frame.Add(1, Kind.Terminated, -1).Obs(0, 1);
        client.Frame.Add(1, Kind.First).Obs("board", new[] { 0.25f, 0.75f }).Mask(0, false);
        Show("step", client.Frame, 7);
        client.Frame.Clear();
        client.Frame.Add(0, Kind.Mid).Obs(1, 0).Taken(2, By.Person).Elapsed(2).Success(false);
        client.Frame.Add(1, Kind.Terminated, 1).Obs(0, 1).Taken(1, By.Agent).Success(true);
        Show("step-taken", client.Frame, 8);
        Act("act", ActionSpace.Discrete(3), 3, a => $"{a.Seq} {a.Version} {a[0]} {a[1]} {a[2]} {a.Late}");
        Act("act-late", ActionSpace.Discrete(3), 2, a => $"{a.Seq} {a.Version} {a[0]} {a[1]} {a.Late}");
        Act("act-explain", ActionSpace.MultiDiscrete(3, 2), 1, a => $"{a.Seq} {a.Version} {a.Action(0, 0)} " +
            $"{a.Action(0, 1)} {string.Join(" ", Enumerable.Range(0, 5).Select(i => a.Q(0, i)))} {a.Explored(0)}");
    }

    private static void Hello(string name, int lowest, ConnectOptions options, string agent = "catch",
                              ActionSpace action = null, params Tensor[] observation) {
        Hello(name, lowest, options, null, agent, action, observation);
    }

    private static void Hello(string name, int lowest, ConnectOptions options, byte[] resume, string agent = "catch",
                              ActionSpace action = null, params Tensor[] observation) {
        var client = new AgentdClient("127.0.0.1", agent, observation.Length > 0 ? observation : Board,
            action ?? ActionSpace.Discrete(3), options);
        var offered = (object[])client._hello["protocol"];
        if ((int)offered[0] != lowest || (int)offered[1] != 2) throw new Exception(name + ": wrong range");
        client._hello["protocol"] = name == "hello-newer" ? new object[] { 1, 2 } : new object[] { lowest, lowest };
        client._hello["run"] = Enumerable.Range(0, 16).Select(i => (byte)i).ToArray();
        if (resume != null) client._hello["resume"] = resume;
        var to = new Packer();
        to.Value(client._hello);
        Console.WriteLine(name + "\t" + Hex(to.Bytes, 0, to.Count));
    }

    private static void Show(string name, Frame frame, ulong seq) {
        var to = new Packer();
        frame.Write(to, seq, out int streamsAt, out int kindsAt);
        Console.WriteLine(name + "\t" + Hex(to.Bytes, 4, to.Count - 4));
    }

    private static void Act(string name, ActionSpace action, int rows, Func<Answer, string> say) {
        var map = new Dictionary<string, object>();
        byte[] body = Bytes(Console.ReadLine());
        new Unpacker(body, 0, body.Length).Message(map);
        var answer = new Answer(action);
        answer.Read(map, rows);
        Console.WriteLine(name + "\t" + say(answer));
    }

    /// <summary>"catch COLUMN ACTION …" and "cartpole X V A W ACTION …" come in, one a line.</summary>
    private static void Dynamics() {
        for (string line; (line = Console.ReadLine()) != null;) {
            string[] words = line.Split(' ');
            var seen = new List<string>();
            if (words[0] == "catch") {
                var game = new CatchGame();
                game.Reset(int.Parse(words[1]));
                foreach (string word in words.Skip(2))
                    seen.Add(game.Step(int.Parse(word)) + ":" + string.Concat(game.Board.Select(cell => (int)cell)));
            } else {
                var game = new CartPoleGame();
                for (int i = 0; i < 4; i++) game.State[i] = double.Parse(words[1 + i]);
                foreach (string word in words.Skip(5))
                    seen.Add((int)game.Step(int.Parse(word)) + ":" + string.Join(",", game.State.Select(x => x.ToString("R"))));
            }
            Console.WriteLine(string.Join(" ", seen));
        }
    }

    /// <summary>A game that uses all of the client, to be driven by `agentd check-client`.</summary>
    private static int Conform(string address, ActionSpace action) {
        var options = new ConnectOptions { Streams = 3, Explain = true, DeadlineMs = 500 };
        var see = new[] { Board[0], Tensor.UInt8("ammo"), Tensor.Float16("half", 2) };
        using (var agent = AgentdClient.Connect(address, "conform", see, action, options)) {
            var steps = new int[3];
            for (int frame = 0; frame < 400; frame++) {
                try {
                    for (int id = 0; id < 3; id++) Row(agent, frame, id, steps[id]);
                    agent.Step();
                    if (frame % 100 == 0) agent.Log("game/frame", frame);
                    for (int id = 0; id < 3; id++) steps[id] = steps[id] == 9 ? 0 : steps[id] + 1;
                } catch (SessionLostException) {
                    steps = new int[3];
                } catch (AgentdException fault) {
                    if (fault.Code == "CLOSED") return 0;
                    Console.WriteLine(fault.Message);
                    if (fault.Fatal) return 1;
                    agent.Abandon();
                    steps = new int[3];
                }
            }
        }
        return 0;
    }

    private static void Row(AgentdClient agent, int frame, int id, int step) {
        bool ends = step == 9;
        Kind kind = ends ? (frame % 2 == 0 ? Kind.Terminated : Kind.Truncated) : step == 0 ? Kind.First : Kind.Mid;
        Row row = agent.Frame.Add(id, kind, step / 5f).Obs(step / 10f, id).Obs("ammo", new[] { (byte)step })
            .Obs("half", new ushort[] { 0x3c00, 0xc000 });
        if (!ends) row.Mask(2, false);
        if (agent.Protocol < 2) return;
        if (frame % 5 == 4) row.Taken(id % 2, By.Person).Taken(1, id == 0 ? By.Script : By.Agent, 1);
        if (frame % 3 == 2) row.Elapsed(1.5f).Success(ends);
    }

    /// <summary>Steps one after the other, over whatever happens to the connection.</summary>
    private static void Walk(string address, int steps) {
        using (var agent = AgentdClient.Connect(address, "walk", Board, ActionSpace.Discrete(3))) {
            int lost = 0;
            bool first = true;
            for (int done = 0; done < steps;) {
                try {
                    agent.Frame.Add(0, first ? Kind.First : Kind.Mid).Obs(done, 1);
                    if (agent.Step()[0] < 0) throw new Exception("no action");
                    first = false;
                    done++;
                } catch (SessionLostException) {
                    first = true;
                    lost++;
                }
            }
            Console.WriteLine($"{steps} {agent.Reconnects} {lost}");
        }
    }

    /// <summary>A frame loop that never waits: a row a frame, as long as the window has room.</summary>
    private static void Loop(string address, int steps) {
        var agent = new AgentdClient(address, "loop", Board, ActionSpace.Discrete(3));
        long sent = 0, answered = 0, longest = 0, full = 0;
        while (answered < steps) {
            for (Answer answer; (answer = agent.Poll()) != null; answered++)
                if (answer.Seq != answered + 1) throw new Exception("out of order");
            if (agent.CanSend && sent < steps) {
                agent.Frame.Add(0, sent == 0 ? Kind.First : Kind.Mid).Obs(sent, 0);
                agent.Send();
                sent++;
                longest = Math.Max(longest, agent.Pending);
            } else full++;
            if (full % 8 == 7) Thread.Sleep(1);
        }
        agent.Dispose();
        Console.WriteLine($"{sent} {answered} {longest} {agent.Reconnects}");
    }

    private static void Refusals(string address) {
        using (var agent = AgentdClient.Connect(address, "plain", Board, ActionSpace.Discrete(3))) {
            Row first = agent.Frame.Add(0, Kind.First).Obs(0, 0);
            for (int i = 0; i < 3; i++) first.Mask(i, false);
            Tell(() => agent.Step());
            agent.Frame.Add(0, Kind.First).Obs(0, 0);
            agent.Step();
            agent.Frame.Add(0, Kind.Mid).Obs(0, float.NaN);
            Tell(() => agent.Step());
            agent.Abandon();
            agent.Frame.Add(0, Kind.First).Obs(0, 0);
            Console.WriteLine("again " + agent.Step().Seq);
            Tell(() => agent.Frame.Add(0, Kind.Mid).Obs(0, 0, 0));
            Tell(() => agent.Frame.Add(0, Kind.Mid).Obs(new[] { 1, 2 }));
            Tell(() => agent.Frame.Add(1, Kind.Mid));
            agent.Frame.Clear();
            Tell(() => agent.Step());
        }
        Tell(() => AgentdClient.Connect(address, "plain", Board, ActionSpace.Discrete(4)));
        using (var box = AgentdClient.Connect(address, "box", Board, ActionSpace.Box(new[] { -1f }, new[] { 1f }))) {
            box.Frame.Add(0, Kind.First).Obs(0, 0);
            Console.WriteLine("box " + (Math.Abs(box.Step().Number(0, 0)) <= 1));
        }
        Tell(() => AgentdClient.Connect("127.0.0.1:1", "plain", Board, ActionSpace.Discrete(3)));
        Tell(() => AgentdClient.Connect("http://127.0.0.1", "plain", Board, ActionSpace.Discrete(3)));
    }

    /// <summary>Asks for levels: two that are played, three that are wrong.</summary>
    private static void Levels(string address) {
        foreach (double level in new[] { 0, 40 })
            using (var agent = AgentdClient.Connect(address, "plain", Board, ActionSpace.Discrete(3),
                       new ConnectOptions { Role = "play", Level = level })) {
                agent.Frame.Add(0, Kind.First).Obs(0, 0);
                Console.WriteLine(level + " " + (agent.Step()[0] >= 0));
            }
        foreach (double level in new[] { 100.5, double.NaN, 0 })
            Tell(() => AgentdClient.Connect(address, "plain", Board, ActionSpace.Discrete(3),
                new ConnectOptions { Role = level == 0 ? "train" : "play", Level = level }));
    }

    private static void Tell(Action action) {
        try {
            action();
            Console.WriteLine("nothing was wrong");
        } catch (AgentdException fault) {
            Console.WriteLine($"{fault.Code} {fault.Field} {fault.Fatal} {fault.Expected} {fault.Got}");
        } catch (ArgumentException fault) {
            Console.WriteLine(fault.Message.Split('\n')[0]);
        }
    }

    /// <summary>A person plays every other row; masks and facts go along.</summary>
    private static void TakeOver(string address) {
        using (var agent = AgentdClient.Connect(address, "curriculum", Board, ActionSpace.Discrete(3),
                   new ConnectOptions { Explain = true, DtMs = 20 })) {
            for (int i = 0; i < 20; i++) {
                Row row = agent.Frame.Add(0, i == 0 ? Kind.First : i == 19 ? Kind.Terminated : Kind.Mid, 1).Obs(i, 0);
                if (i < 19) row.Mask(0, false);
                if (i % 2 == 1) row.Taken(2, By.Person).Elapsed(2);
                if (i == 19) row.Success(true);
                Answer answer = agent.Step();
                if (i < 19 && answer[0] != agent.ActionOf(0) || answer[0] == 0) throw new Exception("wrong action");
                if (float.IsNaN(answer.Q(0, 1))) throw new Exception("no Q-values");
            }
            agent.Log(new Dictionary<string, double> { ["race/lap_s"] = 41.5 });
            agent.Log("UPPER", 1);
            while (agent.Warning == null) agent.Poll();
            Console.WriteLine($"{agent.Warning.Code} {agent.Protocol} {agent.Settings["level"]}");
            while (agent.Settings["level"] < 4) agent.Poll(); // until an operator changes it
            Console.WriteLine(agent.Settings["level"]);
        }
    }

    private static string Text(object value) {
        if (value == null) return "null";
        if (value is bool flag) return flag ? "true" : "false";
        if (value is double real) return "{\"float\":" + real.ToString("R") + "}";
        if (value is string text) return "\"" + text.Replace("\\", "\\\\").Replace("\"", "\\\"") + "\"";
        if (value is ArraySegment<byte> bin) return "{\"bin\":\"" + Hex(bin.Array, bin.Offset, bin.Count) + "\"}";
        if (value is List<object> list) return "[" + string.Join(",", list.Select(Text)) + "]";
        if (value is Dictionary<string, object> map)
            return "{" + string.Join(",", map.Select(pair => Text(pair.Key) + ":" + Text(pair.Value))) + "}";
        return value.ToString();
    }

    private static byte[] Bytes(string hex) =>
        Enumerable.Range(0, hex.Length / 2).Select(i => Convert.ToByte(hex.Substring(2 * i, 2), 16)).ToArray();

    private static string Hex(byte[] bytes, int at, int count) =>
        BitConverter.ToString(bytes, at, count).Replace("-", "").ToLowerInvariant();
}
