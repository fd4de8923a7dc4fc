using System;
using System.Collections.Generic;
using System.Linq;

namespace Agentd {
    /// <summary>Where a row stands in its episode. Terminated: the game itself ended. Truncated: a
    /// limit outside the game cut it.</summary>
    public enum Kind : byte { First, Mid, Terminated, Truncated }

    /// <summary>Who chose an action.</summary>
    public enum By : byte { Agent, Person, Script }

    /// <summary>One named part of an observation: its type and the shape of one row.</summary>
    public sealed class Tensor {
        public readonly string Name, DType;
        public readonly int[] Shape;
        internal readonly Column Column;

        private Tensor(string name, string dtype, int bytes, int[] shape) {
            Name = name;
            DType = dtype;
            Shape = shape;
            Column = new Column(name, shape.Aggregate(bytes, (size, length) => size * length));
        }

        public static Tensor Float32(string name, params int[] shape) => new Tensor(name, "float32", 4, shape);
        public static Tensor Int32(string name, params int[] shape) => new Tensor(name, "int32", 4, shape);
        public static Tensor UInt8(string name, params int[] shape) => new Tensor(name, "uint8", 1, shape);
        public static Tensor Int8(string name, params int[] shape) => new Tensor(name, "int8", 1, shape);

        /// <summary>Halves; give their bits as ushort[].</summary>
        public static Tensor Float16(string name, params int[] shape) => new Tensor(name, "float16", 2, shape);

        /// <summary>The column, where one row fits into it; else ArgumentException.</summary>
        internal Column Fitting(Array values) {
            bool fits = DType == "float32" ? values is float[] : DType == "int32" ? values is int[]
                : DType == "float16" ? values is ushort[] : values is byte[] || values is sbyte[];
            if (fits && Buffer.ByteLength(values) == Column.Size) return Column;
            throw new ArgumentException($"obs.{Name}: want {Column.Size} bytes of {DType}, " +
                $"got {values.Length} of {values.GetType().Name}");
        }

        internal object Wire => new Dictionary<string, object> {
            ["dtype"] = DType, ["shape"] = Shape.Cast<object>().ToArray() };
    }

    /// <summary>One head of a mixed action: n choices, or a number within bounds.</summary>
    public struct Head {
        internal int N;
        internal float Low, High;
        private string _name;

        public static Head Choice(int n, string name = null) => new Head { N = n, _name = name };
        public static Head Range(float low, float high, string name = null) =>
            new Head { Low = low, High = high, _name = name };

        internal object Wire {
            get {
                var map = new Dictionary<string, object>();
                if (N > 0) map["n"] = N;
                else {
                    map["low"] = Low;
                    map["high"] = High;
                }
                if (_name != null) map["name"] = _name;
                return map;
            }
        }
    }

    /// <summary>What an agent may do. Width: numbers of one action. Choices: bytes of one mask.
    /// Floats: actions are float32 (box, mixed), not int32.</summary>
    public sealed class ActionSpace {
        public readonly int Width, Choices;
        public readonly bool Floats;
        internal readonly Dictionary<string, object> Wire;

        private ActionSpace(string kind, IReadOnlyCollection<Head> heads) {
            Width = heads.Count;
            Choices = heads.Sum(head => head.N);
            Floats = kind == "box" || kind == "mixed";
            Wire = new Dictionary<string, object> { ["kind"] = kind };
        }

        public static ActionSpace Discrete(int n) =>
            new ActionSpace("discrete", new[] { Head.Choice(n) }).With("n", n);

        public static ActionSpace MultiDiscrete(params int[] n) =>
            new ActionSpace("multi_discrete", n.Select(one => Head.Choice(one)).ToArray())
                .With("n", n.Cast<object>().ToArray());

        public static ActionSpace Box(float[] low, float[] high) =>
            new ActionSpace("box", low.Zip(high, (least, most) => Head.Range(least, most)).ToArray())
                .With("low", low.Cast<object>().ToArray()).With("high", high.Cast<object>().ToArray());

        public static ActionSpace Mixed(params Head[] heads) =>
            new ActionSpace("mixed", heads).With("heads", heads.Select(head => head.Wire).ToArray());

        private ActionSpace With(string key, object value) {
            Wire[key] = value;
            return this;
        }
    }
}
