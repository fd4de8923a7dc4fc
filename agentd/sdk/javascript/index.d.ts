/** agentd for JavaScript: connects a game to a daemon that plays it and learns while it runs. */

export const VERSION: string;

/** Kinds of rows. */
export const FIRST: 0;
export const MID: 1;
/** The game itself ended: nothing is to be gained after this row. */
export const TERMINATED: 2;
/** Something outside the game cut it, such as a time limit. */
export const TRUNCATED: 3;

/** Who chose an action. */
export const AGENT: 0;
export const PERSON: 1;
export const SCRIPT: 2;

export type Dtype = "uint8" | "int8" | "int32" | "float16" | "float32";

/** A tensor of the observation: its dtype, and the shape of one row; `[]` is one number. */
export interface Tensor {
  dtype: Dtype;
  shape: readonly number[];
}

export type Head = { n: number; name?: string } | { low: number; high: number; name?: string };

/** How many actions there are; or how many in each branch; or an action space of the protocol. */
export type ActionSpace =
  | number
  | readonly number[]
  | { kind: "discrete"; n: number }
  | { kind: "multi_discrete"; n: readonly number[] }
  | { kind: "box"; low: readonly number[]; high: readonly number[] }
  | { kind: "mixed"; heads: readonly Head[] };

export interface Options {
  /** Name of the agent that plays: `[a-z0-9][a-z0-9._-]{0,63}`. */
  agent: string;
  /** One tensor (it is then named `obs`), or several by name. */
  observation: Tensor | Record<string, Tensor>;
  action: ActionSpace;
  /** Episodes that run side by side on this connection (1). */
  streams?: number;
  /** `train` acts and learns (the default); `eval` and `play` are greedy and learn nothing. */
  role?: "train" | "eval" | "play";
  token?: string;
  /** Name of the program, for the server's logs. */
  client?: string;
  /** Answers bring `q` and `explored`. */
  explain?: boolean;
  /** How long an answer is of use to the game, in milliseconds. */
  deadlineMs?: number;
  priority?: "realtime" | "bulk";
  /** Nominal milliseconds between two rows of a stream; needs a server of protocol 2. */
  dtMs?: number;
  /** How well to play, 0 to 100 (at its best), for `eval` and `play`; needs a server of protocol 2. */
  level?: number;
  /** Seconds to keep trying for the first connection (0: one try). */
  waitS?: number;
  /** Seconds to keep trying after a connection broke (60). */
  retryS?: number;
  /** 16 bytes that name this start of the game; drawn at random when not given. */
  run?: Uint8Array;
  /** Versions of the protocol to offer; without it those that the other options allow. */
  protocol?: readonly [number, number];
  /** Node: options of `tls.connect`, such as `ca`. */
  tls?: object;
}

/** Numbers: a typed array is taken as it is where it has the tensor's dtype. */
export type Numbers = number | boolean | ArrayLike<number> | readonly boolean[] | readonly Numbers[];

/**
 * One moment of one stream, or of several: then every field is a list, a row after the other.
 * With one stream, or where `stream` is a number, the fields are those of one row.
 */
export interface Rows {
  /** The observation: numbers where there is one tensor, else by name. */
  obs: Numbers | Record<string, Numbers>;
  /** For the action that led to this row; 0 when not given. */
  reward?: number | ArrayLike<number>;
  /** FIRST, MID, TERMINATED or TRUNCATED; when not given FIRST or MID, as the stream stands. */
  kind?: number | ArrayLike<number>;
  /** Which episode sequence a row belongs to; all of them in order when not given. */
  stream?: number | ArrayLike<number>;
  /** 1 (or true) for each action that is legal now, branch after branch. */
  mask?: Numbers;
  /** The action that was really played, where it was not the answered one. */
  taken?: Numbers;
  /** Who chose it: AGENT, PERSON or SCRIPT. */
  by?: number | ArrayLike<number>;
  /** How many nominal steps (`dtMs`) this row took. */
  elapsed?: number | ArrayLike<number>;
  /** On ended rows: whether the episode was won. */
  success?: Numbers;
}

/** The answer to one step. */
export interface Act {
  seq: number;
  /**
   * For one row of discrete actions a number, -1 on an ended row. Else numbers, a row after the
   * other: Int32Array, or Float32Array (NaN on ended rows) for actions of kind box and mixed.
   */
  action: any;
  /** Number of the weights that chose. */
  version: number;
  /** True where an older policy answered, at the deadline. */
  late: boolean;
  /** With `explain`: the network's values. */
  q?: Float32Array;
  /** With `explain`: whether the action was drawn at random. */
  explored?: boolean | Uint8Array;
  /** With `explain`, of classifiers that gather evidence: how unlike the taught rows each one is. */
  novelty?: Float32Array;
}

export interface Welcome {
  protocol: number;
  session: Uint8Array;
  agent: string;
  version: number;
  max_frame: number;
  max_rows: number;
  window: number;
  heartbeat_s: number;
  resumed: boolean;
  last_seq: number;
  game?: Record<string, number>;
}

/**
 * A session with an agent, over whatever connections it takes: a broken one is made anew, and
 * frames without an answer are sent again.
 *
 * Events (an Event with these properties): `disconnect` {reason}; `reconnect` {resumed, count};
 * `lost` {error: SessionLost}; `settings` {settings}; `refused` {error}: a log was refused;
 * `close` {error}: the session is over for good.
 */
export class Agent extends EventTarget {
  private constructor();
  readonly address: string;
  /** The server's last welcome. */
  readonly welcome: Welcome;
  /** Numbers that the agent's operator gives to the game. */
  readonly settings: Record<string, number>;
  /** Number of the newest weights seen. */
  readonly version: number;
  readonly reconnects: number;
  readonly connected: boolean;
  /** Frames whose answer has not been taken. */
  readonly pending: number;
  /** Whether a frame can be sent now. */
  readonly ready: boolean;
  /** Why the session is over; null while it is not. */
  readonly error: AgentdError | null;
  /** Send rows and wait for their answer. Rejects as `send` and `poll` throw. */
  step(rows: Rows): Promise<Act>;
  /**
   * Send rows; return their seq. Never waits. Throws WindowFull, SessionLost, ServerTooOld, and
   * RangeError or TypeError for rows that do not fit, of which nothing is sent then.
   */
  send(rows: Rows): number;
  /** Return the next answer to `send`, null while there is none. Throws DataRefused for a frame. */
  poll(): Act | null;
  /** Facts for the dashboard: finite numbers under names `[a-z0-9_./-]{1,64}`. */
  log(values: Record<string, number>): void;
  /** End open episodes where they stand and begin a new session. */
  abandon(): Promise<Agent>;
  /** Say goodbye and wait for the server's; open episodes end as truncated. */
  close(): Promise<void>;
}

/**
 * Connect a game. Resolves once the server has said welcome; rejects with Unreachable or Refused.
 *
 * Browsers: `ws://host:port` or `wss://…`. Node: also `host:port`, `tcp:`, `tls:` and `unix:`.
 */
export function connect(address: string, options: Options): Promise<Agent>;

/** Base of everything that the client throws about its server. */
export class AgentdError extends Error {}
/** Nobody answers at the address, or the server stayed away for longer than `retryS`. */
export class Unreachable extends AgentdError {}
/** The server no longer knows our episodes: begin every stream with a first row. */
export class SessionLost extends AgentdError {}
/** `window` frames are unanswered: take an answer first. */
export class WindowFull extends AgentdError {}
/** This needs a newer protocol than the server speaks; nothing was sent. */
export class ServerTooOld extends AgentdError {}
/** The server broke the protocol, or is no agentd. */
export class ProtocolError extends AgentdError {}
/** The client was closed, or the server ended the session. */
export class Closed extends AgentdError {}
/** The server said `error`; the fields are as it sent them. */
export class Refused extends AgentdError {
  code: string;
  fatal: boolean;
  seq?: number;
  field?: string;
  expected?: string;
  got?: string;
  retryMs?: number;
}
/** One frame was refused whole; the streams stand where they stood before it. */
export class DataRefused extends Refused {}

/** For tests and other carriers: msgpack, and the conversation without I/O. */
export class Float {
  constructor(value: number);
  value: number;
}
export function encode(value: any): Uint8Array;
export function decode(bytes: Uint8Array, asFloat?: (value: number) => any): any;
export class Session {
  constructor(options: Options);
  welcome: Welcome | null;
  settings: Record<string, number>;
  hello(): Uint8Array;
  step(rows: Rows): { seq: number; body: Uint8Array };
  log(values: Record<string, number>): Uint8Array;
  receive(body: Uint8Array): any;
  abandon(): any[];
}
