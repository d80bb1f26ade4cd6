/** The TCP header (RFC 9293 3.1). Pure. */

export const TCP_HEADER_BYTES = 20;
export const TCP_DESTINATION_PORT_AT = 2;
export const TCP_FLAGS_AT = 13;
export const FLAG_FIN = 0x01;
export const FLAG_SYN = 0x02;
export const FLAG_RST = 0x04;
export const FLAG_PSH = 0x08;
export const FLAG_ACK = 0x10;
