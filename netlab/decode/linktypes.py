"""The link types that netlab names and leaves closed: LINKTYPE_ number -> name.

Source: the registry of link-layer header types at tcpdump.org. Those that are read have their
numbers and names in `numbers`. 147 to 162 are for private use.
"""

from __future__ import annotations

OPAQUE_LINKS = {
    2: "Experimental Ethernet", 3: "AX.25", 4: "ProNET", 5: "Chaosnet", 7: "ARCNET", 8: "SLIP",
    99: "Symantec firewall", 100: "ATM RFC 1483", 102: "SLIP of BSD/OS", 103: "PPP of BSD/OS",
    106: "ATM Classical IP", 107: "Frame Relay", 109: "OpenBSD enc", 110: "ATM LANE",
    111: "HIPPI", 112: "NetBSD HDLC", 114: "LocalTalk", 115: "Econet", 116: "IPFilter",
    118: "Cisco IOS", 120: "802.11 Aironet", 121: "HiPath HDLC", 122: "IP over Fibre Channel",
    123: "SunATM", 124: "RapidIO", 125: "PCI Express", 126: "Aurora", 128: "TZSP",
    129: "ARCNET of Linux", 130: "Juniper MLPPP", 131: "Juniper MLFR", 132: "Juniper ES",
    133: "Juniper GGSN", 134: "Juniper MFR", 135: "Juniper ATM2", 136: "Juniper services",
    137: "Juniper ATM1", 138: "Apple IP over IEEE 1394", 139: "MTP2 with header", 140: "MTP2",
    141: "MTP3", 142: "SCCP", 143: "DOCSIS", 144: "IrDA", 145: "IBM SP", 146: "IBM SN",
    **{147 + number: f"USER{number}" for number in range(16)},
    164: "Juniper monitor", 165: "BACnet MS/TP", 166: "PPP of pppd", 167: "Juniper PPPoE",
    168: "Juniper PPPoE ATM", 169: "GPRS LLC", 170: "GPF-T", 171: "GPF-F", 172: "Gcom T1/E1",
    173: "Gcom serial", 174: "Juniper PIC peer", 175: "ERF Ethernet", 176: "ERF POS",
    177: "Linux LAPD", 178: "Juniper Ethernet", 179: "Juniper PPP", 180: "Juniper Frame Relay",
    181: "Juniper C-HDLC", 182: "Multilink Frame Relay", 183: "Juniper voice", 184: "ARINC 429",
    185: "ARINC 653", 186: "USB", 187: "Bluetooth HCI H4", 188: "802.16 MAC", 189: "USB",
    190: "CAN 2.0B", 191: "802.15.4", 193: "802.16 MAC radio", 194: "Juniper ISM",
    195: "802.15.4", 196: "SITA", 197: "ERF", 198: "RAIF1", 199: "IPMB Kontron",
    200: "Juniper secure tunnel", 201: "Bluetooth HCI H4", 202: "AX.25 KISS", 203: "LAPD",
    204: "PPP with direction", 205: "Cisco HDLC with direction", 206: "Frame Relay with direction",
    207: "LAPB with direction", 209: "IPMB of Linux", 210: "FlexRay", 211: "MOST", 212: "LIN",
    213: "X2E serial", 214: "X2E Xoraya", 215: "802.15.4 PHY", 216: "Linux evdev",
    217: "GSMTAP Um", 218: "GSMTAP Abis", 219: "MPLS", 220: "USB", 221: "DECT", 222: "AOS",
    223: "WirelessHART", 224: "Fibre Channel FC-2", 225: "Fibre Channel FC-2 with delimiters",
    226: "Solaris ipnet", 227: "CAN", 230: "802.15.4", 231: "D-Bus", 232: "Juniper VS",
    233: "Juniper SRX", 234: "Juniper Fibre Channel", 235: "DVB-CI", 236: "MUX27010",
    237: "STANAG 5066", 238: "Juniper ATM CEMIC", 240: "netANALYZER",
    241: "netANALYZER transparent", 242: "IP over InfiniBand", 243: "MPEG-2 TS", 244: "NG40",
    245: "NFC LLCP", 246: "pfsync", 247: "InfiniBand", 248: "SCTP", 249: "USBPcap",
    250: "RTAC serial", 251: "Bluetooth LE", 252: "Wireshark upper PDU", 253: "netlink",
    254: "Bluetooth monitor of Linux", 255: "Bluetooth BR/EDR", 256: "Bluetooth LE with header",
    257: "PROFIBUS", 258: "pktap", 259: "EPON", 260: "IPMI HPM.2", 261: "Z-Wave R1 and R2",
    262: "Z-Wave R3", 263: "Wattstopper DLM", 264: "ISO 14443", 265: "RDS", 266: "USB",
    267: "OpenFlow", 268: "SDLC", 269: "TI LLN sniffer", 270: "LoRaTap", 271: "vsock",
    272: "nordic BLE", 273: "DOCSIS 3.1", 274: "Ethernet mPacket", 275: "DisplayPort AUX",
    277: "SERCOS monitor", 278: "OpenVizsla", 279: "EBHSCR", 280: "VPP dispatch",
    281: "DSA Broadcom", 282: "DSA Broadcom before the frame", 283: "802.15.4 TAP",
    284: "DSA Marvell", 285: "EDSA Marvell", 286: "ELEE", 287: "Z-Wave serial", 288: "USB 2.0",
    289: "ATSC ALP", 290: "Windows ETW", 291: "netANALYZER NG", 292: "ZBOSS NCP",
    293: "USB 2.0 low speed", 294: "USB 2.0 full speed", 295: "USB 2.0 high speed",
    296: "Auerswald log", 297: "Z-Wave TAP", 298: "Silabs debug", 299: "FiRa UCI",
}  # fmt: skip
