using System;
using System.Collections.Generic;

namespace Agentd {
    /// <summary>The answer to a step: one action a row, in the order of its rows. The client uses
    /// the object again: it is good until the next Poll or Step.</summary>
    public sealed class Answer {
        private readonly ActionSpace _action;
        private ArraySegment<byte> _actions, _q, _explored;

        internal Answer(ActionSpace action) { _action = action; }

        public long Seq { get; private set; }

        /// <summary>Number of the weights that chose.</summary>
        public long Version { get; private set; }

        /// <summary>Answered at the deadline, by an older policy than asked for.</summary>
        public bool Late { get; private set; }

        /// <summary>Rows of the step.</summary>
        public int Count { get; private set; }

        /// <summary>The action of a row; -1 on ended rows.</summary>
        public int this[int row] => Action(row, 0);

        /// <summary>The action of a row in a branch; -1 on ended rows.</summary>
        public int Action(int row, int branch) => BitConverter.ToInt32(_actions.Array, At(_actions, row, branch, _action.Width));

        /// <summary>A number of a box or mixed action; NaN on ended rows.</summary>
        public float Number(int row, int head) => BitConverter.ToSingle(_actions.Array, At(_actions, row, head, _action.Width));

        /// <summary>The value of an action. Only with the option Explain.</summary>
        public float Q(int row, int action) => BitConverter.ToSingle(_q.Array, At(_q, row, action, _action.Choices));

        /// <summary>True when the action was drawn at random. Only with the option Explain.</summary>
        public bool Explored(int row) => _explored.Array[_explored.Offset + row] != 0;

        /// <summary>Take an act. FormatException when its columns are not whole rows.</summary>
        internal void Read(Dictionary<string, object> act, int rows) {
            Seq = (long)act["seq"];
            Version = (long)act["version"];
            Late = act.TryGetValue("late", out object late) && late is bool flag && flag;
            Count = rows;
            _actions = Part(act, "action", 4 * rows * _action.Width);
            _q = Part(act, "q", 4 * rows * _action.Choices);
            _explored = Part(act, "explored", rows);
            if (_actions.Array == null) throw new FormatException("an act without actions");
        }

        internal void CopyAction(int row, byte[] to, int stream) {
            int size = 4 * _action.Width;
            Buffer.BlockCopy(_actions.Array, _actions.Offset + row * size, to, stream * size, size);
        }

        private static ArraySegment<byte> Part(Dictionary<string, object> act, string key, int bytes) {
            if (!act.TryGetValue(key, out object value) || value == null) return default(ArraySegment<byte>);
            var part = (ArraySegment<byte>)value;
            if (part.Count != bytes) throw new FormatException($"act.{key}: {part.Count} bytes, not {bytes}");
            return part;
        }

        private int At(ArraySegment<byte> part, int row, int item, int width) {
            if (part.Array == null) throw new InvalidOperationException("not answered: see the option Explain");
            if (row < 0 || row >= Count || item < 0 || item >= width)
                throw new ArgumentOutOfRangeException(nameof(row), $"no item {item} of row {row}");
            return part.Offset + 4 * (row * width + item);
        }
    }

    /// <summary>What the server refused, or what is wrong with the connection. Code is one of R10's,
    /// or UNREACHABLE, NOT_AGENTD, BAD_SERVER, CLOSED or SESSION_LOST. Fatal false: one frame was
    /// refused whole, nothing of it was learned, go on.</summary>
    public class AgentdException : Exception {
        public readonly string Code, Field, Expected, Got;
        public readonly long Seq, RetryMs;
        public readonly bool Fatal;

        internal AgentdException(string code, string message) : base($"{code}: {message}") {
            Code = code;
            Fatal = true;
        }

        internal AgentdException(Dictionary<string, object> error)
            : base($"{error["code"]}: {error["message"]}") {
            Code = (string)error["code"];
            Fatal = (bool)error["fatal"];
            Field = (string)Get(error, "field");
            Expected = (string)Get(error, "expected");
            Got = (string)Get(error, "got");
            Seq = (long)(Get(error, "seq") ?? 0L);
            RetryMs = (long)(Get(error, "retry_ms") ?? 0L);
        }

        private static object Get(Dictionary<string, object> error, string key) =>
            error.TryGetValue(key, out object value) ? value : null;
    }

    /// <summary>The server no longer knows the session: open episodes and unanswered frames are
    /// gone. The client stands: begin every stream anew, with a first row.</summary>
    public sealed class SessionLostException : AgentdException {
        internal SessionLostException() : base("SESSION_LOST", "the server began a new session") { }
    }
}
