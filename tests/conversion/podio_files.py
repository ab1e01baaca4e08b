"""Small files as podio writes them: a photon and a charged pion, with a secondary, in each of two events."""

import awkward as ak
import numpy as np
import uproot

B, PER_TESLA = 2.0, 2.99792458e-4
XYZ = ("x", "y", "z")
NAMES = ("MCParticles", "SiTracks_Refitted", "PandoraClusters", "PandoraPFOs")
LATE = {  # relations and vectors: their branches since podio 0.16, and with numbers before
    "parents": ("_MCParticles_parents", "MCParticles#0"),
    "states": ("_SiTracks_Refitted_trackStates", "SiTracks_Refitted_1"),
    "energies": ("_PandoraClusters_subdetectorEnergies", "PandoraClusters_2"),
    "hits": ("_PandoraClusters_hits", "PandoraClusters#1"),
    "from": ("_{}_from", "{}#0"),
    "to": ("_{}_to", "{}#1"),
}


def vectors(name, rows):
    return {f"{name}.{axis}": [row[i] for row in rows] for i, axis in enumerate(XYZ)}


def collections(old=False, link="ClusterMCTruthLink"):
    """One event: columns by collection and member."""
    place = {name: both[old] for name, both in LATE.items()}
    pion, photon = (3.0, 4.0, 0.0), (0.0, -10.0, 5.0)
    particles = {
        "PDG": [211, 22, 11, 12],
        "generatorStatus": [1, 1, 0, 1],
        "charge": [1.0, 0, -1, 0],
        "mass": [0.13957, 0, 0, 0],
        **vectors("momentum", [pion, photon, (0.0, -4.0, 2.0), (1.0, 2.0, 0.0)]),
        "parents_begin": [0, 0, 0, 1],
        "parents_end": [0, 0, 1, 1],
    }
    state = {"location": [1], "D0": [0.5], "phi": [np.arctan2(4, 3)], "omega": [PER_TESLA * B / 5]}
    state |= {"Z0": [2.0], "tanLambda": [0.0], "time": [0.0]}
    clusters = {
        "energy": [9.0, 2.5],
        "iTheta": [1.0, 1.5],
        **vectors("position", [(0.0, -1800.0, 900.0), (1080.0, 1440.0, 0.0)]),
        "subdetectorEnergies_begin": [0, 2],
        "subdetectorEnergies_end": [2, 4],
        "hits_begin": [0, 0],
        "hits_end": [0, 0],
    }
    code = "type" if old else "PDG"
    candidates = {code: [211, 22], "charge": [1.0, 0.0], "mass": [0.13957, 0.0], **vectors("momentum", [pion, photon])}
    found = {
        "MCParticles": particles,
        place["parents"]: {"index": [1], "collectionID": [1]},
        "SiTracks_Refitted": {"chi2": [3.0], "ndf": [7], "trackStates_begin": [0], "trackStates_end": [1]},
        place["states"]: state,
        "PandoraClusters": clusters,
        place["energies"]: [8.0, 1.0, 0.5, 2.0],
        place["hits"]: {"index": np.zeros(0, np.int32), "collectionID": np.zeros(0, np.uint32)},
        "PandoraPFOs": candidates,
    }
    links = {"SiTracksMCTruthLink": ([0], [0], [1.0]), link: ([0, 0, 1], [1, 2, 0], [0.6, 0.4, 1.0])}
    for name, (source, target, weight) in links.items():
        found[name] = {"weight": weight}
        found[place["from"].format(name)] = {"index": source, "collectionID": [2] * len(source)}
        found[place["to"].format(name)] = {"index": target, "collectionID": [1] * len(target)}
    return found


def jagged(values, events):
    column = np.asarray(values)
    column = column.astype(np.float32 if column.dtype.kind == "f" else np.int32)
    return ak.unflatten(np.tile(column, events), [len(column)] * events)


def write_tree(path, found, events=2, version=(1, 2, 0)):
    """A TTree of members, as podio's split branches look to a reader."""
    flat = {}
    for name, members in found.items():
        columns = {f"{name}.{m}": v for m, v in members.items()} if isinstance(members, dict) else {name: members}
        flat |= {place: jagged(values, events) for place, values in columns.items()}
    with uproot.recreate(path) as file:
        file.mktree("events", {name: column.type.content for name, column in flat.items()}).extend(flat)
        made = dict(zip(("major", "minor", "patch"), version, strict=True))
        columns = {f"PodioBuildVersion.{part}": np.asarray([v], np.uint16) for part, v in made.items()}
        file.mktree("podio_metadata", {n: c.dtype for n, c in columns.items()}).extend(columns)
    return path


def write_rntuple(path, found, events=2, version=(1, 2, 0)):
    """An RNTuple of structs, as podio writes it since 1.0."""
    fields = {}
    for name, members in found.items():
        if isinstance(members, dict):
            flat = {member: jagged(values, events) for member, values in members.items()}
            nested = {}
            for member, column in flat.items():
                head, _, axis = member.partition(".")
                nested.setdefault(head, {})[axis] = column
            fields[name] = ak.zip({h: ak.zip(c) if "" not in c else c[""] for h, c in nested.items()})
        else:
            fields[name] = jagged(members, events)
    ids = ak.Array([np.arange(1, len(NAMES) + 1, dtype=np.uint32)])
    metadata = {"PodioBuildVersion": ak.Array([np.asarray(version, np.uint16)]), "events___idTable": ids}
    metadata["events_collectionNames"] = ak.Array([list(NAMES)])
    with uproot.recreate(path) as file:
        file.mkrntuple("events", {name: column.type.content for name, column in fields.items()}).extend(fields)
        file.mkrntuple("podio_metadata", {n: c.type.content for n, c in metadata.items()}).extend(metadata)
    return path
