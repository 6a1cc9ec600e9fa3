"""Several Unix sockets of one process: says for each send which read took how many bytes of it.

Run: local_talk.py SEED. Listeners at paths; clients with and without names, accepted in another
order than they connected; datagrams to a name. Prints `sender-inode reader-inode bytes` a read.
"""

import os
import random
import socket
import sys
import tempfile

LISTENERS, CLIENTS, TURNS = 3, 11, 23


def inode(one):
    return os.fstat(one.fileno()).st_ino


def move(chance, sender, reader, room):
    """Send a number of bytes, and read as many as there is room for."""
    sender.send(bytes(chance.randrange(1, 60)))
    took = len(reader.recv(room))
    print(inode(sender), inode(reader), took)


def main():
    chance = random.Random(int(sys.argv[1]))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        listeners = []
        for number in range(LISTENERS):
            made = socket.socket(socket.AF_UNIX)
            made.bind(chance.choice([f"{folder}/listener-{number}", f"listener-{number}"]))
            made.listen(CLIENTS)
            listeners.append(made)
        waiting = [[] for _ in listeners]
        for number in range(CLIENTS):
            client = socket.socket(socket.AF_UNIX)
            if chance.random() < 0.5:
                client.bind(f"{folder}/client-{number}")
            place = chance.randrange(LISTENERS)
            client.connect(listeners[place].getsockname())
            waiting[place].append(client)
            if chance.random() < 0.3:
                client.send(bytes(7))  # before it is accepted
        pairs = []
        order = [place for place, clients in enumerate(waiting) for _ in clients]
        chance.shuffle(order)
        for place in order:
            accepted, _ = listeners[place].accept()
            pairs.append((waiting[place].pop(0), accepted))
        for client, accepted in pairs:
            for _ in range(chance.randrange(4)):
                move(chance, client, accepted, chance.choice([10, 100]))
                move(chance, accepted, client, chance.choice([10, 100]))
        inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        inbox.bind(f"{folder}/inbox")
        writer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        if chance.random() < 0.5:
            writer.bind(f"{folder}/writer")
        writer.connect(f"{folder}/inbox")
        for _ in range(TURNS):
            move(chance, writer, inbox, 100)
        ends = [one for pair in pairs for one in pair]
        chance.shuffle(ends)
        for one in [*ends, inbox, writer, *listeners]:
            one.close()
        os.chdir("/")


main()
