"""Small data sets of images in the formats in which large ones are distributed."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from scipy.io import savemat

CARS = ("AM General Hummer SUV 2000", "Audi R8 Coupe 2012", "smart fortwo Convertible 2012")
TRAINED, HELD_OUT = 24, 12
Pixels = np.ndarray


def pictures(n: int, shape: tuple[int, ...], seed: int = 0) -> Pixels:
    """Different random pictures, uint8."""
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), np.uint8)


def png(pixels: Pixels, suffix: str = "png") -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, "JPEG" if suffix == "jpg" else "PNG")
    return buffer.getvalue()


def cifar10_binary(root: Path) -> Path:
    root.mkdir(parents=True)
    (root / "batches.meta.txt").write_text("airplane\nautomobile\nbird\n\n")
    for i, name in enumerate(("data_batch_1", "data_batch_2", "test_batch")):
        records = [bytes([k % 3]) + planes(one) for k, one in enumerate(pictures(12, (32, 32, 3), i))]
        (root / f"{name}.bin").write_bytes(b"".join(records))
    return root


def planes(pixels: Pixels) -> bytes:
    return pixels.transpose(2, 0, 1).tobytes()


def cifar100_binary(root: Path) -> Path:
    root.mkdir(parents=True)
    (root / "fine_label_names.txt").write_text("apple\naquarium_fish\nbaby\n")
    (root / "coarse_label_names.txt").write_text("aquatic_mammals\nfish\n")
    for i, (name, n) in enumerate((("train", TRAINED), ("test", HELD_OUT))):
        records = [bytes([k % 2, k % 3]) + planes(one) for k, one in enumerate(pictures(n, (32, 32, 3), i))]
        (root / f"{name}.bin").write_bytes(b"".join(records))
    return root


def python2(value: object) -> bytes:
    """Pickle as Python 2 did with protocol 2, in which CIFAR's files are."""

    def text(value: bytes) -> bytes:
        return (
            b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + len(value).to_bytes(4, "little") + value
        )

    def body(value: object) -> bytes:
        if isinstance(value, dict):
            return b"}(" + b"".join(body(key) + body(one) for key, one in value.items()) + b"u"
        if isinstance(value, list):
            return b"](" + b"".join(map(body, value)) + b"e"
        if isinstance(value, np.ndarray):
            shape = b"".join(body(n) for n in value.shape)
            kind = b"cnumpy\ndtype\n" + text(value.dtype.str[1:].encode()) + b"K\x00K\x01\x87R"
            state = b"(K\x03" + text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
            array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
            return array + b"(K\x01(" + shape + b"t" + kind + state + b"\x89" + text(value.tobytes()) + b"tb"
        if isinstance(value, str):
            return text(value.encode())
        assert isinstance(value, int)
        return b"J" + value.to_bytes(4, "little", signed=True)

    return b"\x80\x02" + body(value) + b"."


def cifar10_python(root: Path, dumps: Callable[[object], bytes] = python2) -> Path:
    root.mkdir(parents=True)
    (root / "batches.meta").write_bytes(dumps({"label_names": ["airplane", "automobile", "bird"], "num_vis": 3072}))
    for i, name in enumerate(("data_batch_1", "data_batch_2", "test_batch")):
        rows = pictures(12, (32, 32, 3), i).transpose(0, 3, 1, 2).reshape(12, -1)
        batch = {"batch_label": name, "labels": [k % 3 for k in range(12)], "data": rows, "filenames": ["a.png"] * 12}
        (root / name).write_bytes(dumps(batch))
    return root


def cifar100_python(root: Path) -> Path:
    root.mkdir(parents=True)
    names = {"fine_label_names": ["apple", "aquarium_fish", "baby"], "coarse_label_names": ["mammals", "fish"]}
    (root / "meta").write_bytes(python2(names))
    for i, (name, n) in enumerate((("train", TRAINED), ("test", HELD_OUT))):
        rows = pictures(n, (32, 32, 3), i).transpose(0, 3, 1, 2).reshape(n, -1)
        labels = {"fine_labels": [k % 3 for k in range(n)], "coarse_labels": [k % 2 for k in range(n)]}
        (root / name).write_bytes(python2({**labels, "data": np.ascontiguousarray(rows)}))
    return root


def by_pickle(protocol: int) -> Callable[[object], bytes]:
    return lambda value: pickle.dumps(value, protocol)


def idx(array: Pixels) -> bytes:
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes((0, 0, 8, array.ndim)) + sizes + array.tobytes()


def mnist(root: Path, between: str = "-", packed: bool = False) -> Path:
    root.mkdir(parents=True)
    for i, (name, n) in enumerate((("train", TRAINED), ("t10k", HELD_OUT))):
        contents = {
            f"{name}-images{between}idx3-ubyte": pictures(n, (28, 28), i),
            f"{name}-labels{between}idx1-ubyte": np.arange(n, dtype=np.uint8) % 3,
        }
        for file, array in contents.items():
            content = gzip.compress(idx(array)) if packed else idx(array)
            (root / (file + ".gz" * packed)).write_bytes(content)
    return root


def npz(root: Path) -> Path:
    root.mkdir(parents=True)
    train, test = pictures(TRAINED, (20, 16), 0), pictures(HELD_OUT, (20, 16), 1)
    y_train, y_test = np.arange(TRAINED) % 3, np.arange(HELD_OUT) % 3
    np.savez_compressed(root / "set.npz", x_train=train, y_train=y_train, x_test=test, y_test=y_test)
    return root / "set.npz"


def npy(root: Path) -> Path:
    root.mkdir(parents=True)
    np.save(root / "x.npy", pictures(TRAINED + HELD_OUT, (3, 12, 12)))
    return root / "x.npy"


def boxed(rows: Sequence[dict[str, object]]) -> np.ndarray:
    """Rows as MATLAB keeps them: a struct array, whose cells are arrays."""
    kinds = [(name, object) for name in rows[0]]
    return np.array([tuple(row.values()) for row in rows], dtype=kinds).reshape(1, -1)


def cars(root: Path, nested: bool = False, labels: str = "devkit", test_labels: bool = True) -> Path:
    """Stanford Cars; `labels` is the folder of cars_test_annos_withlabels.mat."""
    (root / "devkit").mkdir(parents=True)
    names = np.array([*CARS], dtype=object).reshape(1, -1)
    savemat(root / "devkit" / "cars_meta.mat", {"class_names": names})
    for i, (side, n) in enumerate((("train", TRAINED), ("test", HELD_OUT))):
        folder = root / f"cars_{side}" / (f"cars_{side}" if nested else "")
        folder.mkdir(parents=True)
        for k, one in enumerate(pictures(n, (20, 28, 3), i), 1):
            (folder / f"{k:05d}.jpg").write_bytes(png(one, "jpg"))
        box: list[dict[str, object]] = [{"bbox_x1": 1, "bbox_y1": 2, "fname": f"{k:05d}.jpg"} for k in range(1, n + 1)]
        full = [{**row, "class": k % 3 + 1} for k, row in enumerate(box)]
        savemat(root / "devkit" / f"cars_{side}_annos.mat", {"annotations": boxed(full if side == "train" else box)})
        if side == "test" and test_labels:
            savemat(root / labels / "cars_test_annos_withlabels.mat", {"annotations": boxed(full)})
    return root


def cars_in_one(root: Path) -> Path:
    """The variant with all pictures in car_ims/ and one file of labels."""
    (root / "car_ims").mkdir(parents=True)
    rows: list[dict[str, object]] = []
    for k, one in enumerate(pictures(TRAINED + HELD_OUT, (20, 28, 3)), 1):
        (root / "car_ims" / f"{k:06d}.jpg").write_bytes(png(one, "jpg"))
        rows.append({"relative_im_path": f"car_ims/{k:06d}.jpg", "class": k % 3 + 1, "test": int(k > TRAINED)})
    names = np.array([*CARS], dtype=object).reshape(1, -1)
    savemat(root / "cars_annos.mat", {"annotations": boxed(rows), "class_names": names})
    return root


def rows_of_pictures(n: int, seed: int) -> dict[str, list[object]]:
    images = [{"bytes": png(one), "path": None} for one in pictures(n, (16, 16, 3), seed)]
    texts = [f"a {('cat', 'dog', 'bird')[k % 3]} on grass" for k in range(n)]
    return {"image": images, "label": [k % 3 for k in range(n)], "caption": texts}  # type: ignore[dict-item]


def features() -> object:
    import datasets

    kinds = {"label": datasets.ClassLabel(names=["cat", "dog", "bird"]), "caption": datasets.Value("string")}
    return datasets.Features({"image": datasets.Image(), **kinds})


def saved_to_disk(root: Path) -> Path:
    """What `datasets.DatasetDict.save_to_disk` writes."""
    import datasets

    sides = {"train": rows_of_pictures(TRAINED, 0), "test": rows_of_pictures(HELD_OUT, 1)}
    parts = {side: datasets.Dataset.from_dict(rows, features=features()) for side, rows in sides.items()}
    datasets.DatasetDict(parts).save_to_disk(str(root))
    return root


def parquet(root: Path) -> Path:
    """The layout of the Hugging Face Hub, without the metadata of `datasets`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    (root / "data").mkdir(parents=True)
    for i, (side, n) in enumerate((("train", TRAINED), ("test", HELD_OUT))):
        pq.write_table(pa.table(rows_of_pictures(n, i)), root / "data" / f"{side}-00000-of-00001.parquet")
    return root


def emoji_package(path: Path, extra: Sequence[tarfile.TarInfo] = ()) -> Path:
    """A package in the format of emoji-datasource-twitter, with further members."""
    words = ["GRINNING FACE", "Côte d’Ivoire Flag", "KEYCAP: *", "T-SHIRT", "NO PICTURE HERE"]
    rows = [
        {
            **{
                "name": f"{words[k % 5]}{'' if k < 5 else f' {k}'}",
                "unified": f"1F6{k:02X}",
                "image": f"1f6{k:02x}.png",
            },
            **{"short_name": f"e{k}", "category": ("Objects", "Flags")[k % 2], "subcategory": f"sub-{k % 3}"},
            "has_img_twitter": k % 5 != 4,
        }
        for k in range(40)
    ]
    members = {"package/package.json": json.dumps({"name": "emoji-datasource-twitter", "version": "16.0.0"}).encode()}
    members["package/emoji.json"] = json.dumps(rows).encode()
    for k, one in enumerate(pictures(40, (16, 16, 4))):
        if k % 5 != 4:
            members[f"package/img/twitter/64/1f6{k:02x}.png"] = png(one)
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in extra:
            tar.addfile(info, io.BytesIO(b"x" * info.size))
    return path
