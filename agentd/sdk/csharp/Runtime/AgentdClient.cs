using System;
using System.Collections.Generic;
using System.Linq;

namespace Agentd {
    /// <summary>How to connect; every field may be left as it is.</summary>
    public sealed class ConnectOptions {
        /// <summary>train (acts and learns), eval or play (greedy, learn nothing).</summary>
        public string Role = "train";
        /// <summary>Episodes that run side by side on this connection.</summary>
        public int Streams = 1;
        /// <summary>The name of the program, for the server's logs.</summary>
        public string Client = "agentd-csharp/" + AgentdClient.Version;
        /// <summary>The secret that a server with tokens asks for; one in the address counts, too.</summary>
        public string Token;
        /// <summary>Answers bring Q-values and say what was explored; Bulk: answered behind all others.</summary>
        public bool Explain, Bulk;
        /// <summary>Milliseconds after which an answer is of no use; 0: no limit.</summary>
        public int DeadlineMs;
        /// <summary>Nominal milliseconds between two rows of a stream; 0: not said. Needs protocol 2.</summary>
        public double DtMs;
        /// <summary>How strong to play as eval or play, 0 to 100; null: at its best. Needs protocol 2.</summary>
        public double? Level;
        /// <summary>Seconds that Connect goes on trying (0: one try), and that a broken connection is mended.</summary>
        public double WaitSeconds, RetryForSeconds = 60;
    }

    /// <summary>One game's connection to one agent: one thread, no callbacks, and nothing that waits but
    /// Connect, Step and Dispose. Whatever call notices a broken connection mends it.</summary>
    public sealed partial class AgentdClient : IDisposable {
        /// <summary>The release of agentd that this client belongs to.</summary>
        public const string Version = "0.1.0";

        private readonly Queue<Sent> _sent = new Queue<Sent>();
        private readonly Stack<Sent> _spare = new Stack<Sent>();
        internal readonly Dictionary<string, object> _hello;
        private readonly Dictionary<string, object> _message = new Dictionary<string, object>();
        private readonly ConnectOptions _options;
        private readonly ActionSpace _action;
        private readonly Answer _answer;
        private readonly byte[] _played; // newest action of each stream, as on the wire
        private AgentdException _ended;
        private ulong _lastSeq;
        private bool _begun, _lost;
        private int _maxFrame;

        /// <summary>Begin to connect, without waiting: Poll goes on with it, Ready says when. The address is
        /// host[:port] or agentd://[token@]host[:port]; ArgumentException for any other.</summary>
        public AgentdClient(string address, string agent, Tensor[] observation, ActionSpace action,
                            ConnectOptions options = null) {
            _options = options ?? new ConnectOptions();
            _address = new Uri(address.Contains("://") ? address : "agentd://" + address);
            if (_address.Scheme != "agentd" || _address.AbsolutePath.Length > 1)
                throw new ArgumentException($"address {address}: want host:port or agentd://host:port");
            _action = action;
            _played = new byte[4 * action.Width * Math.Max(1, _options.Streams)];
            _answer = new Answer(action);
            _hello = Hello(agent, observation);
            Frame = new Frame(observation, action, _played);
            Settings = new Dictionary<string, double>();
            _patience = _options.RetryForSeconds;
        }

        /// <summary>Connect and wait for the welcome. AgentdException when nobody answers there or the server
        /// does not want us.</summary>
        public static AgentdClient Connect(string address, string agent, Tensor[] observation, ActionSpace action,
                                           ConnectOptions options = null) {
            var client = new AgentdClient(address, agent, observation, action, options);
            client._patience = client._options.WaitSeconds;
            while (!client.Ready) client.Advance(100);
            client._patience = client._options.RetryForSeconds;
            return client;
        }

        /// <summary>The rows of the next step.</summary>
        public Frame Frame { get; }

        /// <summary>Numbers that the agent's operator gives to the game; a new dictionary when they have
        /// changed.</summary>
        public IReadOnlyDictionary<string, double> Settings { get; private set; }

        /// <summary>True while a session is open on a connection.</summary>
        public bool Ready => _state == State.Open;

        /// <summary>True when Send may be called: fewer steps than the server's window are unanswered.</summary>
        public bool CanSend => Pending < Window && _ended == null;

        /// <summary>Steps without an answer, and how many there may be (0 before the first welcome).</summary>
        public int Pending => _sent.Count;
        public int Window { get; private set; }

        /// <summary>Rows that one frame may have, and the protocol that is spoken, as in the last welcome.</summary>
        public int MaxRows { get; private set; }
        public int Protocol { get; private set; }

        /// <summary>Connections made after the first.</summary>
        public int Reconnects { get; private set; }

        /// <summary>The newest error that did not end the session; a refused Log is told only here.</summary>
        public AgentdException Warning { get; private set; }

        /// <summary>Send the Frame, wait for its answer and return it. AgentdException with Fatal false: the
        /// frame was refused, go on. SessionLostException: begin the streams anew.</summary>
        public Answer Step() {
            if (Pending > 0) throw new InvalidOperationException("steps are pending: Poll first");
            while (Window == 0) Advance(100);
            Send();
            Answer answer;
            while ((answer = Advance(100)) == null) { }
            return answer;
        }

        /// <summary>Send the Frame without waiting; Poll returns its answer later. InvalidOperationException
        /// unless CanSend.</summary>
        public void Send() {
            Check();
            if (!CanSend) throw new InvalidOperationException("the window is full: Poll first");
            if (Frame.Count == 0 || Frame.Count > MaxRows)
                throw new ArgumentException($"want 1 to {MaxRows} rows a frame, got {Frame.Count}");
            if (Protocol < 2 && (Frame.Taken.Used || Frame.Elapsed.Used || Frame.Success.Used))
                throw new NotSupportedException("Taken, Elapsed, Success: want protocol 2, the server speaks 1");
            Sent next = _spare.Count > 0 ? _spare.Pop() : new Sent();
            next.Rows = Frame.Count;
            Frame.Write(next.Bytes, next.Seq = _lastSeq + 1, out next.StreamsAt, out next.KindsAt);
            if (next.Bytes.Count - 4 > _maxFrame)
                throw new ArgumentException($"want at most {_maxFrame} bytes a frame, got {next.Bytes.Count - 4}");
            _lastSeq++;
            _begun = true;
            _sent.Enqueue(next);
            Frame.Clear();
            if (Ready) Write(next.Bytes); // else it goes out after the next welcome
        }

        /// <summary>Take what has arrived, without waiting. Returns the answer to the oldest step, null while it
        /// is not there. Call it in every frame of the game: it connects and answers pings, too. Throws as
        /// Step does.</summary>
        public Answer Poll() => Advance(0);

        /// <summary>The action that was answered last to a stream.</summary>
        public int ActionOf(int stream, int branch = 0) =>
            BitConverter.ToInt32(_played, 4 * (stream * _action.Width + branch));

        /// <summary>The number that was answered last to a stream, of a box or a mixture.</summary>
        public float NumberOf(int stream, int head) =>
            BitConverter.ToSingle(_played, 4 * (stream * _action.Width + head));

        /// <summary>Show a number of the game beside the agent's; names are of a-z 0-9 _ . / -. Nothing is
        /// answered, and without a connection of protocol 2 it is lost.</summary>
        public void Log(string name, double value) => Log(new Dictionary<string, double> { [name] = value });

        /// <summary>Show up to 32 numbers of the game.</summary>
        public void Log(IReadOnlyDictionary<string, double> values) {
            Check();
            if (Ready && Protocol >= 2) Tell("log", "values", values.ToDictionary(one => one.Key, one => (object)one.Value));
        }

        /// <summary>End every open episode as truncated and begin a new session, all streams with first rows: for
        /// when a frame was refused and the game has no right one in its place.</summary>
        public void Abandon() {
            Leave();
            _begun = _lost = false;
            Forget();
            _hello.Remove("resume");
        }

        /// <summary>Say goodbye, wait for the server's (a second at most) and close. Open episodes end as
        /// truncated; the session is over.</summary>
        public void Dispose() {
            Leave();
            _ended = _ended ?? new AgentdException("CLOSED", "the client is closed");
        }

        private Dictionary<string, object> Hello(string agent, Tensor[] observation) {
            string token = _options.Token ?? Uri.UnescapeDataString(_address.UserInfo);
            bool newer = _options.DtMs > 0 || _options.Level.HasValue || _action.Floats; // not valid in protocol 1
            var hello = new Dictionary<string, object> {
                ["type"] = "hello", ["protocol"] = new object[] { newer ? 2 : 1, 2 }, ["client"] = _options.Client,
                ["role"] = _options.Role, ["run"] = Guid.NewGuid().ToByteArray(), ["agent"] = agent,
                ["observation"] = observation.ToDictionary(tensor => tensor.Name, tensor => tensor.Wire),
                ["action"] = _action.Wire, ["streams"] = _options.Streams };
            if (token.Length > 0) hello["token"] = token;
            if (_options.Explain) hello["explain"] = true;
            if (_options.DeadlineMs > 0) hello["deadline_ms"] = _options.DeadlineMs;
            if (_options.Bulk) hello["priority"] = "bulk";
            if (_options.DtMs > 0) hello["dt_ms"] = _options.DtMs;
            if (_options.Level.HasValue) hello["level"] = _options.Level.Value;
            return hello;
        }

        private void Check() {
            if (_ended != null) throw _ended;
            if (!_lost) return;
            _lost = false;
            Frame.Clear(); // rows of episodes that are over
            throw new SessionLostException();
        }

        private void Acted() {
            Sent sent = Answered((long)_message["seq"]);
            _answer.Read(_message, sent.Rows);
            byte[] bytes = sent.Bytes.Bytes;
            for (int row = 0; row < sent.Rows; row++)
                if (bytes[sent.KindsAt + row] < (byte)Kind.Terminated)
                    _answer.CopyAction(row, _played, BitConverter.ToInt32(bytes, sent.StreamsAt + 4 * row));
        }

        private Sent Answered(long seq) {
            if (_sent.Count == 0 || _sent.Peek().Seq != (ulong)seq)
                throw new FormatException($"an answer out of order: seq {seq}");
            WentWell();
            _spare.Push(_sent.Peek());
            return _sent.Dequeue();
        }

        /// <summary>The session is over: its frames are forgotten, and the game hears of it once. Nothing can be
        /// sent before the next welcome.</summary>
        private void Forget() {
            Window = 0;
            _lost |= _begun;
            _begun = false;
            _lastSeq = 0;
            while (_sent.Count > 0) _spare.Push(_sent.Dequeue());
        }

        /// <summary>A step that waits for its answer.</summary>
        private sealed class Sent {
            public readonly Packer Bytes = new Packer();
            public ulong Seq;
            public int Rows, StreamsAt, KindsAt;
        }
    }
}
