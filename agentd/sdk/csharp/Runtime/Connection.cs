using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Linq;
using System.Net;
using System.Net.Sockets;
using System.Threading;

namespace Agentd {
    // The connection: hello and welcome, bytes in and out, pings, and a new try when it broke.
    public sealed partial class AgentdClient {
        private enum State { Away, Dialling, Shaking, Open }

        private const double ConnectSeconds = 10, FirstDelay = 0.05, LongestDelay = 5;
        private static readonly string[] Passing = { "HELLO_TIMEOUT", "IDLE_TIMEOUT", "SLOW_READER", "LIMIT",
            "SHUTTING_DOWN", "INTERNAL", "shutdown", "idle", "slow_reader", "limit", "error" };

        private readonly Uri _address;
        private readonly Random _random = new Random();
        private readonly Packer _out = new Packer(), _control = new Packer();
        private byte[] _in = new byte[16384];
        private int _inAt, _inEnd, _outAt;
        private State _state;
        private Socket _socket;
        private AgentdException _fault;
        private bool _pinged;
        private double _patience, _heartbeat, _delay = FirstDelay, _giveUpAt = double.PositiveInfinity;
        private double _notBefore, _since, _heard; // Now, when to dial again; of the last try; of the last byte

        private static double Now => Stopwatch.GetTimestamp() / (double)Stopwatch.Frequency;

        /// <summary>One turn of at most so many ms: connect, write, read, take one answer if there is one.</summary>
        private Answer Advance(int waitMs) {
            Check();
            if (_state == State.Away) Dial(waitMs);
            else if (_state == State.Dialling) Dialled(waitMs);
            Answer answer = Next();
            if (answer == null && _state >= State.Shaking) {
                Flush();
                Receive(_outAt < _out.Count ? Math.Min(waitMs, 1) : waitMs);
                answer = Next();
                if (answer == null) Watch();
            }
            if (answer == null) Check();
            return answer;
        }

        private void Dial(int waitMs) {
            double left = _notBefore - Now;
            if (left > 0) Thread.Sleep((int)Math.Min(waitMs, Math.Ceiling(1000 * left)));
            if (Now < _notBefore) return;
            _state = State.Dialling;
            _since = Now;
            _fault = null;
            try {
                IPAddress host = Dns.GetHostAddresses(_address.DnsSafeHost)[0];
                _socket = new Socket(host.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
                _socket.NoDelay = true;
                _socket.Blocking = false;
                _socket.Connect(host, _address.Port < 0 ? 7331 : _address.Port);
            } catch (SocketException fault) {
                if (fault.SocketErrorCode != SocketError.WouldBlock && fault.SocketErrorCode != SocketError.InProgress)
                    Break(fault.Message);
            }
        }

        private void Dialled(int waitMs) {
            bool done = _socket.Poll(waitMs * 1000, SelectMode.SelectWrite) || _socket.Poll(0, SelectMode.SelectError);
            if (!done && Now - _since < ConnectSeconds) return;
            int code = (int)_socket.GetSocketOption(SocketOptionLevel.Socket, SocketOptionName.Error);
            if (!done || code != 0) {
                Break(done ? new SocketException(code).Message : "nobody answered in time");
                return;
            }
            _state = State.Shaking;
            _control.Count = 0;
            int at = _control.BeginFrame(_hello.Count);
            foreach (KeyValuePair<string, object> pair in _hello) _control.Pair(pair.Key, pair.Value);
            _control.EndFrame(at);
            Write(_control);
        }

        /// <summary>Send a message of one more key.</summary>
        private void Tell(string type, string key, object value) {
            _control.Count = 0;
            int at = _control.BeginFrame(2);
            _control.Pair("type", type);
            _control.Pair(key, value);
            _control.EndFrame(at);
            Write(_control);
        }

        private void Write(Packer frame) {
            _out.Raw(frame.Bytes, 0, frame.Count);
            Flush();
        }

        /// <summary>Write what the socket takes now; the rest waits.</summary>
        private void Flush() {
            while (_socket != null && _outAt < _out.Count) {
                int count = _socket.Send(_out.Bytes, _outAt, _out.Count - _outAt, SocketFlags.None, out SocketError error);
                if (error == SocketError.WouldBlock) return;
                if (error != SocketError.Success) Break(error.ToString());
                else _outAt += count;
            }
            _outAt = _out.Count = 0;
        }

        private void Receive(int waitMs) {
            if (_socket == null || !_socket.Poll(waitMs * 1000, SelectMode.SelectRead)) return;
            Buffer.BlockCopy(_in, _inAt, _in, 0, _inEnd -= _inAt);
            _inAt = 0;
            if (_inEnd == _in.Length) Array.Resize(ref _in, 2 * _in.Length);
            int count = _socket.Receive(_in, _inEnd, _in.Length - _inEnd, SocketFlags.None, out SocketError error);
            if (error == SocketError.WouldBlock) return;
            if (error != SocketError.Success || count == 0) {
                Break(error == SocketError.Success ? "the server closed the connection" : error.ToString());
                return;
            }
            _inEnd += count;
            _heard = Now;
            _pinged = false;
        }

        /// <summary>Take messages up to the next answer; null when more bytes are needed.</summary>
        private Answer Next() {
            while (_socket != null && _inEnd - _inAt >= 4) {
                uint length = BitConverter.ToUInt32(_in, _inAt);
                if (length > (Window == 0 ? 65536 : int.MaxValue / 2)) throw End(new AgentdException("NOT_AGENTD",
                    $"{_address.Authority}: what answers there does not speak the protocol"));
                if (_inEnd - _inAt - 4 < length) return null;
                int at = _inAt + 4;
                _inAt = at + (int)length;
                try {
                    new Unpacker(_in, at, _inAt).Message(_message);
                    if (Take((string)_message["type"])) return _answer;
                } catch (Exception fault) when (!(fault is AgentdException)) {
                    throw End(new AgentdException("BAD_SERVER", $"{_address.Authority}: {fault.Message}"));
                }
            }
            return null;
        }

        /// <summary>Act on a message; true when it is an act.</summary>
        private bool Take(string type) {
            if (type == "act") Acted();
            else if (type == "welcome") Welcomed();
            else if (type == "ping") Tell("pong", "t", _message["t"]);
            else if (type == "settings") Settings = Numbers(_message["values"]);
            else if (type == "error") Refused(new AgentdException(_message));
            else if (type == "goodbye") Over((string)_message["reason"], new AgentdException("CLOSED",
                $"the server said goodbye: {_message["reason"]}"));
            else if (type != "pong") throw new FormatException($"{type}: an answer to nothing we asked");
            return type == "act";
        }

        private void Welcomed() {
            bool resumed = (bool)_message["resumed"];
            if (resumed && (long)_message["last_seq"] < (long)_lastSeq - Pending) {
                Forget(); // the server lost its last seconds: a new session
                _hello.Remove("resume");
                Break("the server has forgotten what it had answered");
                return;
            }
            Reconnects += Protocol > 0 ? 1 : 0;
            if (!resumed) Forget();
            _hello["resume"] = ((ArraySegment<byte>)_message["session"]).ToArray();
            Window = (int)(long)_message["window"];
            MaxRows = (int)(long)_message["max_rows"];
            Protocol = (int)(long)_message["protocol"];
            _maxFrame = (int)(long)_message["max_frame"];
            _heartbeat = Convert.ToDouble(_message["heartbeat_s"]);
            Settings = Numbers(_message.TryGetValue("game", out object game) ? game : null);
            _state = State.Open;
            foreach (Sent sent in _sent) _out.Raw(sent.Bytes.Bytes, 0, sent.Bytes.Count);
            Flush();
        }

        private void Refused(AgentdException error) {
            if (error.Fatal) {
                Over(error.Code, error);
                return;
            }
            Warning = error;
            if (error.Seq == 0) return; // a refused log: nobody waits for it
            Answered(error.Seq);
            throw error;
        }

        /// <summary>The server ends the connection: for good, or for now when coming back may help.</summary>
        private void Over(string word, AgentdException why) {
            if (!Passing.Contains(word)) throw End(why);
            _fault = _fault ?? why;
            Break(why.Message);
            _notBefore = Math.Max(_notBefore, Now + why.RetryMs / 1000.0);
        }

        /// <summary>Ping a silent server, give up on one that stays silent.</summary>
        private void Watch() {
            if (_state == State.Shaking && Now - _since > ConnectSeconds) Break("no welcome in time");
            if (_state != State.Open || Now - _heard < _heartbeat) return;
            if (_pinged) {
                Break("the server was silent for too long");
                return;
            }
            _pinged = true;
            _heard = Now;
            Tell("ping", "t", (long)(1000 * Now));
        }

        private void WentWell() {
            _giveUpAt = double.PositiveInfinity;
            _delay = FirstDelay;
        }

        /// <summary>Let go of the connection and choose when to try again: exponential, with full jitter, so that
        /// no crowd forms. Throws when it is time to give up.</summary>
        private void Break(string why) {
            bool leaving = _state == State.Away;
            if (_state == State.Open && Now - _since > ConnectSeconds) WentWell();
            Close();
            if (leaving) return;
            _giveUpAt = Math.Min(_giveUpAt, Now + _patience);
            if (Now >= _giveUpAt) throw End(_fault ?? new AgentdException("UNREACHABLE", $"{_address.Authority}: {why}"));
            _notBefore = Math.Min(_giveUpAt, Now + _delay * _random.NextDouble());
            _delay = Math.Min(LongestDelay, 2 * _delay);
        }

        /// <summary>Say goodbye, wait until the server closes, and close.</summary>
        private void Leave() {
            if (Ready) Tell("goodbye", "reason", "client_done");
            _state = State.Away;
            for (double until = Now + 1; _socket != null && Now < until; _inAt = _inEnd) {
                Flush();
                Receive(20);
            }
            Close();
        }

        private void Close() {
            _socket?.Close();
            _socket = null;
            _state = State.Away;
            _inAt = _inEnd = _outAt = _out.Count = 0;
            _pinged = false;
        }

        private AgentdException End(AgentdException why) {
            Close();
            return _ended = why;
        }

        private static Dictionary<string, double> Numbers(object map) =>
            map == null ? new Dictionary<string, double>() : ((Dictionary<string, object>)map)
                .ToDictionary(one => one.Key, one => Convert.ToDouble(one.Value));
    }
}
