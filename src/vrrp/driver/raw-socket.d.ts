/** The part of raw-socket 1.8.1 (index.js, src/raw.cc) that raw-ip-socket.ts uses; the package has no types. */
declare module 'raw-socket' {
  /** The native socket: every call is the system call, at once. */
  interface SocketWrap {
    /** sendto(2). `done` is called before this returns. Throws an Error whose message is strerror's text. */
    send(data: Buffer, offset: number, length: number, address: string, done: (bytes: number) => void): void;
    /** recvfrom(2). `done` is called before this returns. Throws, also when nothing is queued (EAGAIN). */
    recv(into: Buffer, done: (into: Buffer, bytes: number, source: string) => void): void;
    /** Whether to call for what can be received, and for room to send. */
    pause(receiving: boolean, sending: boolean): void;
    /** getsockopt(2) into the buffer; returns the length of the value. */
    getOption(level: number, option: number, into: Buffer, length: number): number;
    on(event: 'recvReady', listener: () => void): void;
    removeAllListeners(event: 'recvReady'): void;
  }

  interface Socket {
    readonly wrap: SocketWrap;
    /** setsockopt(2) with a number as 4 bytes, or with the first `length` bytes of a buffer. */
    setOption(level: number, option: number, value: number): void;
    setOption(level: number, option: number, value: Buffer, length: number): void;
    on(event: 'error', listener: (error: Error) => void): void;
    close(): void;
  }

  const raw: {
    readonly AddressFamily: { readonly IPv4: number; readonly IPv6: number };
    createSocket(options: { protocol: number; addressFamily: number; bufferSize?: number }): Socket;
  };
  export default raw;
}
