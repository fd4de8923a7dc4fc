using System;
using System.Collections.Generic;
using System.Text;

namespace Agentd {
    /// <summary>Writes msgpack, every value in its shortest form, into one growing array.</summary>
    internal sealed class Packer {
        public byte[] Bytes = new byte[256];
        public int Count;

        public void Map(int pairs) => Head(pairs, 0x80, 16, 0, 0xde);
        public void Array(int items) => Head(items, 0x90, 16, 0, 0xdc);
        public void Float(double number) => Sized(0xcb, (ulong)BitConverter.DoubleToInt64Bits(number), 8);

        public void Str(string text) {
            int count = Encoding.UTF8.GetByteCount(text);
            Head(count, 0xa0, 32, 0xd9, 0xda);
            Room(count);
            Count += Encoding.UTF8.GetBytes(text, 0, text.Length, Bytes, Count);
        }

        public void Bin(byte[] bytes, int at, int count) {
            Head(count, 0, 0, 0xc4, 0xc5);
            Raw(bytes, at, count);
        }

        public void Int(long number) {
            if (number >= 0) UInt((ulong)number);
            else if (number >= -32) Byte((int)number);
            else Sized(0xd3, (ulong)number, 8);
        }

        public void UInt(ulong number) {
            if (number < 0x80) Byte((int)number);
            else if (number <= byte.MaxValue) Sized(0xcc, number, 1);
            else if (number <= ushort.MaxValue) Sized(0xcd, number, 2);
            else if (number <= uint.MaxValue) Sized(0xce, number, 4);
            else Sized(0xcf, number, 8);
        }

        /// <summary>Write a value of any kind that Unpacker reads; an array of bytes is a bin, a
        /// list of pairs a map in their order.</summary>
        public void Value(object value) {
            if (value == null) Byte(0xc0);
            else if (value is bool flag) Byte(flag ? 0xc3 : 0xc2);
            else if (value is long || value is int) Int(Convert.ToInt64(value));
            else if (value is ulong large) UInt(large);
            else if (value is double || value is float) Float(Convert.ToDouble(value));
            else if (value is string text) Str(text);
            else if (value is byte[] bytes) Bin(bytes, 0, bytes.Length);
            else if (value is ArraySegment<byte> part) Bin(part.Array, part.Offset, part.Count);
            else if (value is IReadOnlyCollection<object> items) {
                Array(items.Count);
                foreach (object item in items) Value(item);
            } else {
                var map = (Dictionary<string, object>)value;
                Map(map.Count);
                foreach (KeyValuePair<string, object> pair in map) Pair(pair.Key, pair.Value);
            }
        }

        public void Pair(string key, object value) {
            Str(key);
            Value(value);
        }

        /// <summary>Begin a frame at the end; EndFrame writes its length there.</summary>
        public int BeginFrame(int pairs) {
            Room(4);
            Count += 4;
            Map(pairs);
            return Count - (pairs < 16 ? 5 : 7);
        }

        public void EndFrame(int at) {
            for (int i = 0; i < 4; i++) Bytes[at + i] = (byte)((Count - at - 4) >> (8 * i));
        }

        public void Raw(byte[] bytes, int at, int count) {
            Room(count);
            Buffer.BlockCopy(bytes, at, Bytes, Count, count);
            Count += count;
        }

        private void Head(int count, int tiny, int below, int one, int two) {
            if (count < below) Byte(tiny + count);
            else if (one != 0 && count <= byte.MaxValue) Sized(one, (ulong)count, 1);
            else if (count <= ushort.MaxValue) Sized(two, (ulong)count, 2);
            else Sized(two + 1, (ulong)count, 4);
        }

        private void Sized(int head, ulong number, int size) {
            Byte(head);
            Room(size);
            while (size-- > 0) Bytes[Count++] = (byte)(number >> (8 * size));
        }

        private void Byte(int value) {
            Room(1);
            Bytes[Count++] = (byte)value;
        }

        private void Room(int more) {
            if (Count + more > Bytes.Length)
                System.Array.Resize(ref Bytes, Math.Max(Count + more, 2 * Bytes.Length));
        }
    }

    /// <summary>Reads msgpack from a part of an array; every fault is a FormatException.</summary>
    internal struct Unpacker {
        private const int Deepest = 32;
        private static readonly string[] Known = { "type", "act", "seq", "action", "version", "q", "explored", "late" };
        private readonly byte[] _bytes;
        private readonly int _end;
        private int _at;

        public Unpacker(byte[] bytes, int at, int end) {
            _bytes = bytes;
            _at = at;
            _end = end;
        }

        /// <summary>Read the map that fills the whole part into <paramref name="map"/>.</summary>
        public void Message(Dictionary<string, object> map) {
            map.Clear();
            if (!Pairs((int)Number(1), map, 0) || _at != _end) throw new FormatException("want one map");
        }

        /// <summary>Any value: null, bool, long, ulong, double, string, List or Dictionary; a bin is
        /// an ArraySegment, not copied.</summary>
        public object Value(int depth = 0) {
            int head = (int)Number(1);
            if (head < 0x80) return (long)head;
            if (head >= 0xe0) return (long)(sbyte)head;
            if (head >= 0xa0 && head < 0xc0) return Text(head & 0x1f);
            if (head < 0x90 || head >= 0xde) {
                var map = new Dictionary<string, object>();
                Pairs(head, map, depth);
                return map;
            }
            if (head < 0xa0) return List(head & 0x0f, depth);
            switch (head) {
                case 0xc0: return null;
                case 0xc2: case 0xc3: return head == 0xc3;
                case 0xc4: case 0xc5: case 0xc6:
                    int count = Length(1 << (head - 0xc4));
                    return new ArraySegment<byte>(_bytes, Take(count), count);
                case 0xca: return (double)BitConverter.ToSingle(BitConverter.GetBytes((int)Number(4)), 0);
                case 0xcb: return BitConverter.Int64BitsToDouble((long)Number(8));
                case 0xcc: case 0xcd: case 0xce: return (long)Number(1 << (head - 0xcc));
                case 0xcf:
                    ulong number = Number(8);
                    return number > long.MaxValue ? (object)number : (long)number;
                case 0xd0: return (long)(sbyte)Number(1);
                case 0xd1: return (long)(short)Number(2);
                case 0xd2: return (long)(int)Number(4);
                case 0xd3: return (long)Number(8);
                case 0xd9: case 0xda: case 0xdb: return Text(Length(1 << (head - 0xd9)));
                case 0xdc: case 0xdd: return List(Length(head == 0xdc ? 2 : 4), depth);
                default: throw new FormatException("a type of msgpack that the protocol has not");
            }
        }

        private bool Pairs(int head, Dictionary<string, object> map, int depth) {
            if (depth > Deepest) throw new FormatException("nested too deep");
            if ((head < 0x80 || head > 0x8f) && head < 0xde || head > 0xdf) return false;
            for (int count = head > 0x8f ? Length(head == 0xde ? 2 : 4) : head & 0x0f; count > 0; count--)
                map[(string)Value(depth + 1)] = Value(depth + 1);
            return true;
        }

        private List<object> List(int count, int depth) {
            if (depth > Deepest) throw new FormatException("nested too deep");
            var list = new List<object>();
            while (count-- > 0) list.Add(Value(depth + 1));
            return list;
        }

        private string Text(int count) {
            int at = Take(count);
            foreach (string word in Known)
                if (word.Length == count && _bytes[at] == word[0] && Same(word, at)) return word;
            return Encoding.UTF8.GetString(_bytes, at, count);
        }

        private bool Same(string word, int at) {
            foreach (char letter in word) if (_bytes[at++] != letter) return false;
            return true;
        }

        private int Length(int size) {
            ulong count = Number(size);
            if (count > (ulong)(_end - _at)) throw new FormatException("cut short");
            return (int)count;
        }

        private ulong Number(int size) {
            ulong number = 0;
            for (int at = Take(size); size > 0; size--) number = number << 8 | _bytes[at++];
            return number;
        }

        private int Take(int count) {
            if (count > _end - _at) throw new FormatException("cut short");
            _at += count;
            return _at - count;
        }
    }
}
