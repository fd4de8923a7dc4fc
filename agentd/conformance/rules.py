"""The rules that a client can break, each with its number in PROTOCOL.md and the way to mend it."""

import re
from typing import NamedTuple


class Rule(NamedTuple):
    """One rule, as the report tells it."""

    number: str  # of PROTOCOL.md
    name: str  # its short name, which no other rule has
    wish: str  # what a right client does
    fix: str  # what to do about a client that does not
    see: str  # what would show it, where it was not seen

    @property
    def key(self) -> str:
        """Number and name."""
        return f"{self.number} {self.name}"


# number and name / what is right / the fix / what makes it seen
TEXT = """\
R2 frame length
    a u32, little-endian, of 1 to max_frame (16384 before welcome) before each body
    write the number of the body's bytes as 4 bytes, the lowest first
    let the client send a frame
R2 frame body
    exactly one msgpack map with string keys in each frame
    encode one map a frame and count just its bytes in the length
    let the client send a frame
R2 message keys
    only the keys of the message's type, each once, with a value of its type
    send the keys of PROTOCOL.md and no others; leave an optional one out
    let the client send a frame
R2 message order
    hello once and first, then step, teach, log, ping, pong, operations, goodbye
    send each message only in the state that takes it
    let the client send a frame
R2 split answers
    answers are read right however their bytes are cut or joined on the way
    collect bytes until a whole frame is there, and keep what comes behind it
    let the client play on after its first answers
R3 tensors are bin
    numbers of rows are msgpack bins, neither lists nor extension types
    pack the raw bytes of the numbers as one bin
    let the client send a step
R3 tensor sizes
    every bin holds N rows of the size that the schema gives it
    count the rows once and write each tensor of each row whole
    let the client send a step
R3 little-endian
    numbers in bins have their lowest byte first
    write numbers little-endian, whatever the machine is
    send numbers other than 0 in rewards, observations or stream ids
R4 hello
    the fields of hello keep their limits
    look at the table of hello in R4
    let the client connect
R4 protocol range
    [lowest, highest], lowest <= highest, and the hello is valid in the lowest
    offer [1, 2], or [2, 2] where the hello needs what version 2 adds
    let the client connect
R4 schema
    tensors with a known dtype and shape; actions of a kind that the version has
    declare every tensor as {dtype, shape} and the actions as R4 and R14 say
    let the client connect
R4 run
    16 random bytes: new ones at each start of the game, the same while it runs
    draw 16 bytes from the system's random source when the game starts
    let the client connect
R4 waits for welcome
    nothing is sent between hello and welcome
    read the welcome before the first step
    let the client connect
R4 older version
    in a session of version 1 nothing of version 2 is sent
    look at welcome.protocol, and leave out what that version does not have
    offer [1, 2] in hello
R5 kinds
    kind is 0..3; mid and ended rows only while the stream has an episode
    send first, mid …, terminated or truncated, and then first again
    let the client play
R5 first rows
    each stream begins with a first row
    send kind 0 with a stream's first row in a session
    let the client play
R5 after an end
    the row after an ended one is a first one
    begin the next episode with kind 0 after kind 2 or 3
    play until an episode ends and another begins
R5 stream ids
    below streams, and once in a frame but for an ended row and its first row
    number the streams from 0 and send one row of each
    let the client play
R5 finite numbers
    no NaN and no infinity in float tensors and rewards
    look for a division by zero, and send an episode's end instead of such a row
    send floats
R5 masks
    bytes 0 and 1, with a legal action in every branch of every row
    send ones for ended rows, and for rows where all is legal
    send mask in a step
R5 multi-discrete
    actions of several branches are read, a row's branches one after the other
    read action as N rows of as many i32 as there are branches
    say hello with action kind multi_discrete
R5 explain
    q and explored are read over or used
    take both keys of act as they are described in R5
    say hello with explain: true
R6 seq
    from 1 on, one more with each step and teach
    count frames of a session, from 1
    let the client play
R6 window
    no more unanswered frames than welcome.window
    wait for an answer once window frames are on their way
    let the client play while answers are held back
R6 slow answers
    an answer that takes its time is waited for
    wait for the answer, and answer pings meanwhile
    let the client play while answers are held back
R7 resume
    after a lost connection the client comes again, with resume and the same hello
    dial again and send the hello of before with resume set to welcome.session
    let the client run on when a connection is cut
R7 resend
    frames without an answer are sent again, byte for byte and in order
    keep the bytes of every frame until its answer is there
    have a frame on its way when a connection is cut
R7 begins anew
    after resumed: false seq is 1 and every stream begins with a first row
    forget seq and streams unless welcome.resumed is true
    come again after a cut and play on in a new session
R7 forgotten frames
    a welcome with last_seq below an answered seq leads to a hello without resume
    compare last_seq with the newest answered seq; begin a new session if it is lower
    come again after several cuts
R8 teach
    targets and weights of N rows, weights finite and not negative
    send a target for each row, and a weight for each or none at all
    let the client teach
R9 ping
    pong has the t of the ping, an integer or a float, unchanged
    send back the very value of t
    let the client play
R9 pong in time
    a ping is answered soon, also while an answer is waited for
    read messages while waiting, and answer each ping at once
    let the client play
R9 silent server
    a server that says nothing for two heartbeats is given up, and dialled again
    ping after one heartbeat without a byte, and dial again after the second
    let the client wait for an answer that never comes
R9 goodbye
    the client says goodbye before it closes
    send goodbye {reason: client_done} and wait for the server to close
    let the game end by itself
R9 closes after goodbye
    after the server's goodbye the client closes, too
    close the connection when goodbye was read
    let the client play until the server says goodbye
R10 refused frame
    after an error that is not fatal the session goes on
    send the rows again, end the episode, or say goodbye and hello anew
    let the client play
R10 fatal error
    a fatal error ends the client, with an exit code other than 0
    report code, field, expected and got, and dial no more
    let the client play
R10 retry_ms
    who is asked to stay away stays away for retry_ms
    wait for error.retry_ms before the next try
    come again after a cut
R11 open maps
    unknown keys in stats, info and agents are ignored
    look for the keys that you know, and pass over others
    let the client send stats
R13 carrier
    over WebSocket: an upgrade of version 13, masked binary messages
    send each body as one masked binary message, without a length in front
    connect by WebSocket
R14 numbers
    actions of kind box and mixed are read as f32
    read action as N rows of f32, one for each number or head
    say hello with action kind box or mixed, and protocol [2, 2]
R15 taken
    taken in the layout of act.action, legal under the mask of the stream's last row
    send for every row the action that led to it; by is 0, 1 or 2, never without taken
    let a person or a script take over
R16 log
    at most 32 finite numbers, names of a-z 0-9 _ . / -, 100 messages a second
    mend names and numbers before they are logged
    let the game log
R16 success
    not 0 on ended rows only
    say whether an episode was won with the row that ends it
    say success with the end of an episode
R17 late
    an act with late: true is an answer like others
    know the key late
    offer version 2 and play
R18 elapsed
    above 0 and at most 100000
    count the nominal steps since the stream's last row; 1 where all is regular
    say how long rows took
R19 settings
    settings in welcome.game and between answers are used or ignored
    know the key game and the message settings
    offer version 2 and play
"""
RULES: dict[str, Rule] = {
    f"{number} {name}": Rule(number, name, wish, fix, see)
    for number, name, wish, fix, see in re.findall(
        r"^(R\d+) (.+)\n +(.+)\n +(.+)\n +(.+)", TEXT, re.MULTILINE
    )
}
"""By key, in the order of their numbers."""
