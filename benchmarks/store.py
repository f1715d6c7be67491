"""What has been measured, kept in a file of one JSON object a line, so that a stopped run can go on.

The first line is the header: machine, versions, settings. A file with another header is set aside as *.old, since
figures of different runs do not belong side by side.
"""
import json
import os


class Store:
    def __init__(self, path, records):
        self.path = path
        self.records = records

    def get(self, key, default=None):
        return self.records.get(key, default)

    def add(self, key, result):
        self.records[key] = result
        with open(self.path, "a") as file:
            file.write(json.dumps([*key, result]) + "\n")


def is_same(one, other):
    """The commit may differ as long as the program is the same."""
    versions = [{**header["versions"], "tenon": None} for header in (one, other)]
    return {**one, "versions": versions[0]} == {**other, "versions": versions[1]}


def read(path, header):
    """Records of the file; None when it is of another run. A last line that was cut off is removed."""
    with open(path, "r+") as file:
        text = file.read()
        whole = text[: text.rfind("\n") + 1]
        file.truncate(len(whole.encode()))
    lines = whole.splitlines()
    if not lines or not is_same(json.loads(lines[0]), header):
        return None
    return {tuple(key): result for *key, result in map(json.loads, lines[1:])}


def open_store(path, header, fresh):
    records = None
    if os.path.exists(path):
        records = None if fresh else read(path, header)
        if records is None:
            os.replace(path, path + ".old")
    if records is None:
        records = {}
        with open(path, "w") as file:
            file.write(json.dumps(header) + "\n")
    return Store(path, records)
