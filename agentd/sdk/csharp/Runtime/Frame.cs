using System;

namespace Agentd {
    /// <summary>One column of a frame: as many rows of Size bytes as there is room for.</summary>
    internal sealed class Column {
        public readonly string Name;
        public readonly int Size;
        public byte[] Bytes;
        public bool Used;

        public Column(string name, int size) {
            Name = name;
            Size = size;
            Bytes = new byte[size];
        }

        /// <summary>Copy a row's numbers; every machine that runs .NET today is little-endian.</summary>
        public void Put(int row, Array values, int from = 0) =>
            Buffer.BlockCopy(values, from, Bytes, row * Size, Size);

        public void Fill(int row, byte value) {
            if ((row + 1) * Size > Bytes.Length) Array.Resize(ref Bytes, 2 * (row + 1) * Size);
            for (int at = row * Size; at < (row + 1) * Size; at++) Bytes[at] = value;
        }

        public void Write(Packer to, int rows) {
            to.Str(Name);
            to.Bin(Bytes, 0, rows * Size);
        }
    }

    /// <summary>The rows of the next step: add some, then Send or Step, which empties it.</summary>
    public sealed class Frame {
        internal readonly Tensor[] Tensors;
        private readonly ActionSpace _action;
        private readonly byte[] _played; // newest action of each stream, as on the wire
        private readonly Column _stream = new Column("stream", 4), _kind = new Column("kind", 1);
        private readonly Column _reward = new Column("reward", 4), _mask, _taken, _by = new Column("by", 1);
        private readonly Column _elapsed = new Column("elapsed", 4), _success = new Column("success", 1);
        private readonly Column[] _columns, _optional;
        private readonly int[] _whole = new int[1];
        private readonly float[] _number = new float[1];

        internal Frame(Tensor[] tensors, ActionSpace action, byte[] played) {
            Tensors = tensors;
            _action = action;
            _played = played;
            _mask = new Column("mask", action.Choices);
            _taken = new Column("taken", 4 * action.Width);
            _columns = new[] { _stream, _kind, _reward };
            _optional = new[] { _mask, _taken, _by, _elapsed, _success };
        }

        /// <summary>Rows so far.</summary>
        public int Count { get; private set; }

        /// <summary>True when the frame says what only protocol 2 knows.</summary>
        internal bool IsNewer => _taken.Used || _elapsed.Used || _success.Used;

        /// <summary>Add one moment of one stream; reward is for the action that led here.</summary>
        public Row Add(int stream, Kind kind, float reward = 0) {
            if (stream < 0 || _taken.Size * (long)stream >= _played.Length)
                throw new ArgumentOutOfRangeException(nameof(stream), stream, "want below Streams");
            int row = Count++;
            foreach (Column column in _columns) column.Fill(row, 0);
            foreach (Column column in _optional) column.Fill(row, column == _mask ? (byte)1 : (byte)0);
            foreach (Tensor tensor in Tensors) tensor.Column.Fill(row, 0);
            _whole[0] = stream;
            _stream.Put(row, _whole);
            _kind.Bytes[row] = (byte)kind;
            Number(_reward, row, reward);
            Number(_elapsed, row, 1);
            _taken.Put(row, _played, stream * _taken.Size);
            return new Row(this, row);
        }

        /// <summary>Forget the rows.</summary>
        public void Clear() {
            Count = 0;
            foreach (Column column in _optional) column.Used = false;
        }

        internal void Put(int row, string name, Array values) {
            foreach (Tensor tensor in Tensors)
                if (name == null || tensor.Name == name) {
                    tensor.Put(row, values);
                    return;
                }
            throw new ArgumentException($"obs.{name}: not in the schema");
        }

        internal void Mask(int row, int choice, bool legal) {
            if (choice < 0 || choice >= _action.Choices)
                throw new ArgumentOutOfRangeException(nameof(choice), choice, "no such action");
            _mask.Used = true;
            _mask.Bytes[row * _mask.Size + choice] = legal ? (byte)1 : (byte)0;
        }

        internal void Taken(int row, int head, float action, By by) {
            if (head < 0 || head >= _action.Width)
                throw new ArgumentOutOfRangeException(nameof(head), head, "no such branch");
            _whole[0] = (int)(_number[0] = action);
            Array given = _action.Floats ? (Array)_number : _whole;
            Buffer.BlockCopy(given, 0, _taken.Bytes, row * _taken.Size + 4 * head, 4);
            _taken.Used = true;
            _by.Used |= by != By.Agent;
            _by.Bytes[row] = (byte)by;
        }

        internal void Elapsed(int row, float steps) {
            _elapsed.Used = true;
            Number(_elapsed, row, steps);
        }

        internal void Success(int row, bool won) {
            _success.Used = true;
            _success.Bytes[row] = won ? (byte)1 : (byte)0;
        }

        /// <summary>Write the step; the places of its columns stream and kind are returned.</summary>
        internal void Write(Packer to, ulong seq, out int streamsAt, out int kindsAt) {
            int optional = 0;
            foreach (Column column in _optional) optional += column.Used ? 1 : 0;
            to.Count = 0;
            int at = to.BeginFrame(6 + optional);
            to.Pair("type", "step");
            to.Str("seq");
            to.UInt(seq);
            _stream.Write(to, Count);
            streamsAt = to.Count - 4 * Count;
            _kind.Write(to, Count);
            kindsAt = to.Count - Count;
            _reward.Write(to, Count);
            to.Str("obs");
            to.Map(Tensors.Length);
            foreach (Tensor tensor in Tensors) tensor.Column.Write(to, Count);
            foreach (Column column in _optional) if (column.Used) column.Write(to, Count);
            to.EndFrame(at);
        }

        private void Number(Column column, int row, float number) {
            _number[0] = number;
            column.Put(row, _number);
        }
    }

    /// <summary>One row of a Frame; every call returns the row itself.</summary>
    public struct Row {
        private readonly Frame _frame;
        private readonly int _row;

        internal Row(Frame frame, int row) {
            _frame = frame;
            _row = row;
        }

        /// <summary>Set the first (often only) tensor: float[], int[], byte[], sbyte[] or, for
        /// halves, ushort[]. What is not set is zero.</summary>
        public Row Obs(Array values) => Obs(null, values);

        public Row Obs(params float[] values) => Obs(null, values);

        /// <summary>Set the tensor of this name.</summary>
        public Row Obs(string tensor, Array values) {
            _frame.Put(_row, tensor, values);
            return this;
        }

        /// <summary>Forbid or allow an action; the branches' actions follow each other.</summary>
        public Row Mask(int choice, bool legal) {
            _frame.Mask(_row, choice, legal);
            return this;
        }

        /// <summary>Say what was played instead of the answer, and by whom; once a branch or head.
        /// Rows that say nothing played the newest answer of their stream.</summary>
        public Row Taken(float action, By by, int head = 0) {
            _frame.Taken(_row, head, action, by);
            return this;
        }

        /// <summary>Say how many nominal steps (DtMs) led to this row; 1 when not said.</summary>
        public Row Elapsed(float steps) {
            _frame.Elapsed(_row, steps);
            return this;
        }

        /// <summary>Say whether the episode that ends in this row was won.</summary>
        public Row Success(bool won) {
            _frame.Success(_row, won);
            return this;
        }
    }
}
