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

        public void Fill(int row, byte value) {
            if ((row + 1) * Size > Bytes.Length) Array.Resize(ref Bytes, 2 * (row + 1) * Size);
            for (int at = row * Size; at < (row + 1) * Size; at++) Bytes[at] = value;
        }

        /// <summary>Copy numbers to the place of the row's item of that size. Little-endian, as every machine
        /// that runs .NET today is.</summary>
        public void Put(int row, Array values, int item = 0) {
            int size = Buffer.ByteLength(values);
            if (item < 0 || (item + 1) * size > Size) throw new ArgumentOutOfRangeException(Name, item, "no such item");
            Buffer.BlockCopy(values, 0, Bytes, row * Size + item * size, size);
            Used = true;
        }

        public int Write(Packer to, int rows) {
            to.Str(Name);
            to.Bin(Bytes, 0, rows * Size);
            return to.Count - rows * Size;
        }
    }

    /// <summary>The rows of the next step: add some, then Send or Step, which empties it.</summary>
    public sealed class Frame {
        internal readonly Tensor[] Tensors;
        internal readonly Column Mask, Taken, By = new Column("by", 1);
        internal readonly Column Elapsed = new Column("elapsed", 4), Success = new Column("success", 1);
        internal readonly bool Floats;
        private readonly Column _stream = new Column("stream", 4), _kind = new Column("kind", 1);
        private readonly Column _reward = new Column("reward", 4);
        private readonly Column[] _optional;
        private readonly byte[] _played, _byte = new byte[1]; // played: newest action of each stream
        private readonly int[] _whole = new int[1];
        private readonly float[] _number = new float[1];

        internal Frame(Tensor[] tensors, ActionSpace action, byte[] played) {
            Tensors = tensors;
            Floats = action.Floats;
            Mask = new Column("mask", action.Choices);
            Taken = new Column("taken", 4 * action.Width);
            _played = played;
            _optional = new[] { Mask, Taken, By, Elapsed, Success };
        }

        /// <summary>Rows so far.</summary>
        public int Count { get; private set; }

        /// <summary>Add one moment of one stream; reward is for the action that led here.</summary>
        public Row Add(int stream, Kind kind, float reward = 0) {
            if (stream < 0 || Taken.Size * (long)stream >= _played.Length)
                throw new ArgumentOutOfRangeException(nameof(stream), stream, "want below Streams");
            int row = Count++;
            foreach (Column column in _optional) column.Fill(row, column == Mask ? (byte)1 : (byte)0);
            foreach (Tensor tensor in Tensors) tensor.Column.Fill(row, 0);
            Buffer.BlockCopy(_played, stream * Taken.Size, Taken.Bytes, row * Taken.Size, Taken.Size);
            Buffer.BlockCopy(One(1f), 0, Elapsed.Bytes, row * 4, 4);
            _stream.Fill(row, 0);
            _stream.Put(row, One(stream));
            _kind.Fill(row, (byte)kind);
            _reward.Fill(row, 0);
            _reward.Put(row, One(reward));
            return new Row(this, row);
        }

        /// <summary>Forget the rows.</summary>
        public void Clear() {
            Count = 0;
            foreach (Column column in _optional) column.Used = false;
        }

        internal Array One(byte value) {
            _byte[0] = value;
            return _byte;
        }

        internal Array One(int value) {
            _whole[0] = value;
            return _whole;
        }

        internal Array One(float value) {
            _number[0] = value;
            return _number;
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
            streamsAt = _stream.Write(to, Count);
            kindsAt = _kind.Write(to, Count);
            _reward.Write(to, Count);
            to.Str("obs");
            to.Map(Tensors.Length);
            foreach (Tensor tensor in Tensors) tensor.Column.Write(to, Count);
            foreach (Column column in _optional) if (column.Used) column.Write(to, Count);
            to.EndFrame(at);
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

        /// <summary>Set the first (often only) tensor: float[], int[], byte[], sbyte[] or, for halves, ushort[].
        /// What is not set is zero.</summary>
        public Row Obs(Array values) => Obs(_frame.Tensors[0].Name, values);

        public Row Obs(params float[] values) => Obs(_frame.Tensors[0].Name, values);

        /// <summary>Set the tensor of this name.</summary>
        public Row Obs(string tensor, Array values) {
            foreach (Tensor one in _frame.Tensors) if (one.Name == tensor) return Put(one.Fitting(values), values);
            throw new ArgumentException($"obs.{tensor}: not in the schema");
        }

        /// <summary>Forbid or allow an action; the branches' actions follow each other.</summary>
        public Row Mask(int choice, bool legal) => Put(_frame.Mask, _frame.One(legal ? (byte)1 : (byte)0), choice);

        /// <summary>Say what was played instead of the answer, and by whom; once a branch or head. Rows that say
        /// nothing played the newest answer of their stream.</summary>
        public Row Taken(float action, By by, int head = 0) {
            if (by != By.Agent) Put(_frame.By, _frame.One((byte)by));
            return Put(_frame.Taken, _frame.Floats ? _frame.One(action) : _frame.One((int)action), head);
        }

        /// <summary>Say how many nominal steps (DtMs) led to this row; 1 when not said.</summary>
        public Row Elapsed(float steps) => Put(_frame.Elapsed, _frame.One(steps));

        /// <summary>Say whether the episode that ends in this row was won.</summary>
        public Row Success(bool won) => Put(_frame.Success, _frame.One(won ? (byte)1 : (byte)0));

        private Row Put(Column column, Array values, int item = 0) {
            column.Put(_row, values, item);
            return this;
        }
    }
}
