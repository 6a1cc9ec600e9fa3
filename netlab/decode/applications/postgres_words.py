"""PostgreSQL: letters, numbers and codes of its protocol -> what they are called.

Sources: PostgreSQL's documentation, "Frontend/Backend Protocol" (Message Formats, Error and Notice
Message Fields) and the appendix "PostgreSQL Error Codes"; the type numbers are those of pg_type.
"""

from __future__ import annotations

FROM_CLIENT = {
    "B": "Bind", "C": "Close", "d": "CopyData", "c": "CopyDone", "f": "CopyFail", "D": "Describe",
    "E": "Execute", "H": "Flush", "F": "FunctionCall", "p": "PasswordMessage", "P": "Parse",
    "Q": "Query", "S": "Sync", "X": "Terminate",
}  # fmt: skip
FROM_SERVER = {
    "R": "Authentication", "K": "BackendKeyData", "2": "BindComplete", "3": "CloseComplete",
    "C": "CommandComplete", "d": "CopyData", "c": "CopyDone", "G": "CopyInResponse",
    "H": "CopyOutResponse", "W": "CopyBothResponse", "D": "DataRow", "I": "EmptyQueryResponse",
    "E": "ErrorResponse", "V": "FunctionCallResponse", "v": "NegotiateProtocolVersion",
    "n": "NoData", "N": "NoticeResponse", "A": "NotificationResponse",
    "t": "ParameterDescription", "S": "ParameterStatus", "1": "ParseComplete",
    "s": "PortalSuspended", "Z": "ReadyForQuery", "T": "RowDescription",
}  # fmt: skip
# Messages that say all by their type.
ALONE = {
    "CopyDone": "end of the copied data",
    "Flush": "flush: send what is ready",
    "Sync": "sync: end of these extended queries",
    "Terminate": "goodbye",
    "BindComplete": "parameters bound",
    "CloseComplete": "closed",
    "FunctionCall": "call of a function by its number",
    "FunctionCallResponse": "what the function returned",
    "EmptyQueryResponse": "the query was empty",
    "NoData": "no rows will come",
    "ParseComplete": "statement parsed",
    "PortalSuspended": "as many rows as asked for; there are more",
}
AUTHENTICATION = {
    0: ("authenticated", "the client is who it says"),
    2: ("Kerberos V5 wanted", "long out of use"),
    3: ("clear-text password wanted", "whoever reads along learns the password"),
    5: ("MD5 password wanted", "the client sends a hash of password, user and this salt"),
    6: ("SCM credentials wanted", "long out of use"),
    7: ("GSSAPI wanted", "Kerberos, mostly"),
    8: ("GSSAPI goes on", ""),
    9: ("SSPI wanted", "Windows' own way of GSSAPI"),
    10: ("SASL wanted", "the client chooses one of these mechanisms"),
    11: ("SASL challenge", ""),
    12: ("SASL outcome", "the server proves that it knows the password too"),
}
TRANSACTION = {
    "I": "ready, no transaction",
    "T": "ready, in a transaction",
    "E": "ready, in a failed transaction",
}
ERROR_FIELDS = {
    "S": "severity", "V": "severity, not translated", "C": "SQLSTATE", "M": "message",
    "D": "detail", "H": "hint", "P": "position", "p": "internal position", "q": "internal query",
    "W": "where", "s": "schema", "t": "table", "c": "column", "d": "data type", "n": "constraint",
    "F": "file", "L": "line", "R": "routine",
}  # fmt: skip
SQLSTATES = {
    "00000": "successful completion",
    "08006": "connection failure",
    "08P01": "protocol violation",
    "0A000": "feature not supported",
    "22001": "string data right truncation",
    "22003": "numeric value out of range",
    "22007": "invalid datetime format",
    "22012": "division by zero",
    "22P02": "invalid text representation",
    "23502": "not null violation",
    "23503": "foreign key violation",
    "23505": "unique violation",
    "23514": "check violation",
    "25001": "active SQL transaction",
    "25P01": "no active SQL transaction",
    "25P02": "in failed SQL transaction",
    "26000": "invalid SQL statement name",
    "28000": "invalid authorization specification",
    "28P01": "invalid password",
    "34000": "invalid cursor name",
    "3D000": "invalid catalog name",
    "3F000": "invalid schema name",
    "40001": "serialization failure",
    "40P01": "deadlock detected",
    "42501": "insufficient privilege",
    "42601": "syntax error",
    "42701": "duplicate column",
    "42703": "undefined column",
    "42804": "datatype mismatch",
    "42883": "undefined function",
    "42P01": "undefined table",
    "42P04": "duplicate database",
    "42P07": "duplicate table",
    "42P08": "ambiguous parameter",
    "53300": "too many connections",
    "55P03": "lock not available",
    "57014": "query canceled",
    "57P01": "admin shutdown",
    "57P03": "cannot connect now",
    "XX000": "internal error",
}
SQLSTATE_CLASSES = {
    "00": "successful completion", "01": "warning", "02": "no data",
    "03": "SQL statement not yet complete", "08": "connection exception",
    "09": "triggered action exception", "0A": "feature not supported",
    "0B": "invalid transaction initiation", "0F": "locator exception", "0L": "invalid grantor",
    "0P": "invalid role specification", "20": "case not found", "21": "cardinality violation",
    "22": "data exception", "23": "integrity constraint violation", "24": "invalid cursor state",
    "25": "invalid transaction state", "26": "invalid SQL statement name",
    "27": "triggered data change violation", "28": "invalid authorization specification",
    "2B": "dependent privilege descriptors still exist", "2D": "invalid transaction termination",
    "2F": "SQL routine exception", "34": "invalid cursor name", "38": "external routine exception",
    "39": "external routine invocation exception", "3B": "savepoint exception",
    "3D": "invalid catalog name", "3F": "invalid schema name", "40": "transaction rollback",
    "42": "syntax error or access rule violation", "44": "WITH CHECK OPTION violation",
    "53": "insufficient resources", "54": "program limit exceeded",
    "55": "object not in prerequisite state", "57": "operator intervention", "58": "system error",
    "F0": "configuration file error", "HV": "foreign data wrapper error", "P0": "PL/pgSQL error",
    "XX": "internal error",
}  # fmt: skip
TYPES = {
    16: "bool", 17: "bytea", 18: "char", 19: "name", 20: "int8", 21: "int2", 23: "int4",
    24: "regproc", 25: "text", 26: "oid", 114: "json", 142: "xml", 650: "cidr", 700: "float4",
    701: "float8", 705: "unknown", 790: "money", 829: "macaddr", 869: "inet", 1000: "bool[]",
    1003: "name[]", 1005: "int2[]", 1007: "int4[]", 1009: "text[]", 1016: "int8[]",
    1042: "bpchar", 1043: "varchar", 1082: "date", 1083: "time", 1114: "timestamp",
    1184: "timestamptz", 1186: "interval", 1266: "timetz", 1560: "bit", 1700: "numeric",
    2205: "regclass", 2249: "record", 2278: "void", 2950: "uuid", 3802: "jsonb",
}  # fmt: skip
REPLICATION = {"w": "write-ahead log", "k": "keepalive", "r": "standby status", "h": "feedback"}


def state_name(code: str) -> str:
    """What an SQLSTATE stands for, at least its class; nothing for an unknown one."""
    return SQLSTATES.get(code) or SQLSTATE_CLASSES.get(code[:2], "")
