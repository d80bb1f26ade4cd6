/**
 * The numbers of the kernel's socket interface, each in one place: the same on x86-64 and arm64. What one protocol of
 * the kernel has for itself (rtnetlink, sock_diag, epoll, BPF) is where that is encoded.
 */

// bits/socket.h: families and types
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const AF_PACKET = 17;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
/** SOCK_NONBLOCK and SOCK_CLOEXEC; O_NONBLOCK and O_CLOEXEC of pipe2(2) are the same bits. */
export const NONBLOCK_CLOEXEC = 0o2_004_000;

// linux/netlink.h
export const NETLINK_ROUTE = 0;
export const NETLINK_SOCK_DIAG = 4;
export const NLMSG_ERROR = 2;

// asm-generic/socket.h
export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_ERROR = 4;
export const SO_RCVBUF = 8;
export const SO_KEEPALIVE = 9;
export const SO_LINGER = 13;
export const SO_REUSEPORT = 15;
export const SO_ACCEPTCONN = 30;
export const SO_BINDTODEVICE = 25;
export const SO_ATTACH_FILTER = 26;
export const SO_DETACH_FILTER = 27;
/** Beyond net.core.rmem_max, with CAP_NET_ADMIN (socket(7)). */
export const SO_RCVBUFFORCE = 33;
export const SO_ATTACH_REUSEPORT_CBPF = 51;
/** Since Linux 5.3, for classic programs as well. */
export const SO_DETACH_REUSEPORT_BPF = 68;
/** Of a socket's memory, as u32s (linux/sock_diag.h). */
export const SO_MEMINFO = 55;
/** The index in SO_MEMINFO of how often the receive buffer was full. */
export const SK_MEMINFO_DROPS = 8;

// linux/in.h
export const IPPROTO_IP = 0;
export const IP_TTL = 2;
export const IP_HDRINCL = 3;
export const IP_MULTICAST_IF = 32;
export const IP_MULTICAST_LOOP = 34;
export const IP_ADD_MEMBERSHIP = 35;
export const IP_MULTICAST_ALL = 49;

// linux/in6.h
export const IPPROTO_IPV6 = 41;
export const IPV6_UNICAST_HOPS = 16;
export const IPV6_MULTICAST_IF = 17;
export const IPV6_MULTICAST_LOOP = 19;
export const IPV6_ADD_MEMBERSHIP = 20;
export const IPV6_V6ONLY = 26;
export const IPV6_HDRINCL = 36;

/** Implies IP_HDRINCL, with IPv6 as well; such a socket receives nothing (raw(7)). */
export const IPPROTO_RAW = 255;

// linux/tcp.h
export const IPPROTO_TCP = 6;
export const TCP_NODELAY = 1;
export const TCP_KEEPIDLE = 4;
export const TCP_KEEPINTVL = 5;
export const TCP_INFO = 11;
export const TCP_USER_TIMEOUT = 18;
export const TCP_NOTSENT_LOWAT = 25;

// linux/socket.h, shutdown(2), splice(2)
export const MSG_PEEK = 0x2;
export const MSG_TRUNC = 0x20;
export const MSG_NOSIGNAL = 0x4000;
export const SHUT_WR = 1;
export const SPLICE_MOVE_NONBLOCK = 0x3;

// linux/fcntl.h
export const F_GETPIPE_SZ = 1032;

// asm-generic/errno.h
export const EPERM = 1;
export const ENOENT = 2;
export const EINTR = 4;
export const EIO = 5;
export const EBADF = 9;
export const EAGAIN = 11;
export const ENFILE = 23;
export const EMFILE = 24;
export const ENONET = 64;
export const EPROTO = 71;
export const ENOPROTOOPT = 92;
export const EOPNOTSUPP = 95;
export const EAFNOSUPPORT = 97;
export const ENETDOWN = 100;
export const ENETUNREACH = 101;
export const ECONNABORTED = 103;
export const ECONNRESET = 104;
export const ETIMEDOUT = 110;
export const EHOSTDOWN = 112;
export const EHOSTUNREACH = 113;
export const EINPROGRESS = 115;
/** Linux numbers its errors from 1 to this. */
export const LAST_ERRNO = 133;
