"""Names whose effect can't be followed without running the code, each with a sentence for people.

One table by the dotted name of what another package provides, one of builtins, one of methods: the object that a
method belongs to is not known, so the method's name is enough. A limit too many costs a line of output, and one too
few would be a version that holds less than what decides its values.
"""

from __future__ import annotations

import re
from typing import Literal

Kind = Literal[
    "code", "project", "file", "native", "presence", "environment", "clock", "random", "machine", "process", "network"
]
"""What a limit is about.

``project``: a module of the project that can't be followed. ``file``: a file that Python opens, which a run sees;
``native``: one that native code opens by itself, which nothing sees; ``presence``: whether a file is there, its size
and time. ``code``: everything else in the code.
"""

MESSAGES: dict[Kind, str] = {
    "project": "modules imported by a computed name are not followed; import them by name",
    "file": "the content of a file is not part of the hash; declare it in depends_on, or make it a source",
    "native": "the content of a file is not part of the hash; declare it in depends_on, or make it a source",
    "presence": "which files there are, their sizes and times are not part of the hash; declare them in depends_on",
    "environment": "environment variables and the like are not part of the hash; give the value in params",
    "clock": "the time of the run is not part of the hash; take times from the rows",
    "random": "random numbers are not part of the hash; give a fixed seed",
    "machine": "what it runs on is not part of the hash; give the value in params",
    "process": "what another program does is not part of the hash; make its output a source, or a file in depends_on",
    "network": "what a server answers is not part of the hash; make it a source",
}
"""The sentence of every kind that has only one: what is not in the hash, and the way out."""

HELD = "what is used of module {} is not followed; import it with an import statement"
"""Of a module of another package that a call imports by its name and gives to a variable."""

_STRINGS = "code in strings ({}) is not followed; write it as a function"
_REACHED = "names reached through {}() are not followed; use the names themselves"

BUILTIN: dict[str, tuple[Kind, str]] = {
    **{name: ("code", _REACHED.format(name)) for name in ("globals", "locals", "vars")},
    **{name: ("code", _STRINGS.format(name)) for name in ("eval", "exec", "compile")},
    "__import__": ("project", MESSAGES["project"]),
    "open": ("file", MESSAGES["file"]),
    "input": ("environment", "what somebody types is not part of the hash; give the value in params"),
    "hash": ("random", "hash() of a text differs from process to process; use hashlib or pl.Expr.hash"),
    "id": ("random", "id() differs from process to process"),
}

# A name stands for itself and for all below it; with a star at the end for all that begin so.
_NAMES: dict[Kind, str] = {
    "project": """
        importlib.import_module importlib.reload importlib.util importlib.__import__
        pkgutil.walk_packages pkgutil.iter_modules pkgutil.resolve_name pkgutil.find_loader pkgutil.get_loader
        pkgutil.extend_path pydoc runpy.run_module imp unittest.mock.patch modulefinder importlib_metadata.entry_points
        importlib.metadata.entry_points logging.config.dictConfig pluggy stevedore
    """,
    "file": """
        io.open* io.FileIO importlib.resources importlib_resources pkgutil.get_data runpy.run_path
        codecs.open tokenize.open linecache fileinput gzip.open gzip.GzipFile bz2.open bz2.BZ2File lzma.open
        lzma.LZMAFile zipfile.ZipFile zipfile.Path zipfile.PyZipFile zipfile.is_zipfile tarfile.open tarfile.TarFile
        tarfile.is_tarfile shelve.open dbm pickle.load pickle.Unpickler marshal.load cloudpickle.load dill.load
        joblib.load joblib.Memory skops numpy.load numpy.loadtxt numpy.genfromtxt numpy.fromfile numpy.fromregex
        numpy.memmap numpy.DataSource numpy.lib.npyio numpy.lib.format scipy.io scipy.sparse.load_npz
        pandas.read_* pandas.HDFStore pandas.ExcelFile os.open os.fdopen os.read shutil.copy* shutil.move
        shutil.unpack_archive mmap logging.config.fileConfig configparser.ConfigParser.read
        configparser.RawConfigParser.read dotenv environs decouple xml.etree.ElementTree.parse
        xml.etree.ElementTree.iterparse xml.etree.ElementTree.ElementTree xml.dom.minidom.parse xml.sax.parse
        lxml.etree.parse plistlib.load wave.open netrc mailbox mailcap mimetypes gettext hashlib.file_digest filecmp
        openpyxl.load_workbook xlrd.open_workbook PIL.Image.open imageio soundfile librosa.load nltk.data
        nltk.corpus spacy.load sys.stdin tempfile toml.load yaml.load_file geopandas.read_file shapefile
        sklearn.datasets.load_* statsmodels.datasets vega_datasets zoneinfo.ZoneInfo.from_file dask.* vaex.open
        modin.* ibis.read_* pyreadstat avro.datafile fastavro.reader
    """,
    "native": """
        polars.read_* polars.scan_* polars.Catalog polars.Config.load_from_file polars.DataFrame.deserialize
        polars.LazyFrame.deserialize polars.Expr.deserialize polars.io polars.plugins duckdb pyarrow.csv pyarrow.json
        pyarrow.parquet pyarrow.feather pyarrow.orc pyarrow.dataset pyarrow.fs pyarrow.ipc.open_* pyarrow.memory_map
        pyarrow.OSFile pyarrow.input_stream pyarrow.create_memory_map adbc_driver_* connectorx deltalake pyiceberg
        datafusion chdb sqlite3.connect apsw lmdb h5py netCDF4 xarray.open_* zarr tables.open_file rasterio fiona
        cv2.imread cv2.VideoCapture xgboost.Booster lightgbm.Booster catboost onnxruntime.InferenceSession
        torch.load torch.jit.load torch.hub tensorflow.saved_model tensorflow.io tensorflow.keras.models.load_model
        keras.models.load_model keras.saving.load_model safetensors gensim.models fasttext.load_model
        sentencepiece tokenizers ctypes cffi.FFI numpy.ctypeslib numba.pycc leveldb plyvel rocksdict
        polars_io* fastexcel python_calamine
    """,
    "presence": """
        os.path.exists os.path.lexists os.path.isfile os.path.isdir os.path.islink os.path.ismount os.path.isjunction
        os.path.isdevdrive os.path.getsize os.path.getmtime os.path.getatime os.path.getctime os.path.samefile
        os.path.sameopenfile os.stat os.lstat os.fstat os.access os.listdir os.scandir os.walk
        os.fwalk os.readlink os.getxattr os.listxattr os.statvfs glob.glob* glob.iglob shutil.which shutil.disk_usage
        dircache posixpath.exists posixpath.isfile posixpath.isdir posixpath.getsize posixpath.getmtime
    """,
    "environment": """
        os.environ* os.getenv* posix.environ nt.environ os.path.expandvars os.path.expanduser os.putenv os.unsetenv
        os.get_exec_path sys.argv sys.orig_argv sys.flags sys.warnoptions sys._xoptions sys.getdefaultencoding
        sys.getfilesystemencoding sys.getrecursionlimit argparse getopt optparse locale.getlocale
        locale.getdefaultlocale locale.localeconv locale.getpreferredencoding locale.getencoding locale.currency
        locale.format_string locale.str locale.strcoll locale.strxfrm locale.nl_langinfo getpass keyring
        importlib.metadata.version importlib.metadata.distribution* importlib.metadata.packages_distributions
        pkg_resources pydantic_settings dynaconf hydra omegaconf.oc.env click.get_app_dir appdirs platformdirs
    """,
    "clock": """
        time.time* time.monotonic* time.perf_counter* time.process_time* time.thread_time* time.clock_gettime*
        time.localtime time.gmtime time.ctime time.asctime time.strftime time.timezone time.altzone time.daylight
        time.tzname datetime.datetime.now datetime.datetime.utcnow datetime.datetime.today datetime.date.today
        pandas.Timestamp.now pandas.Timestamp.today pandas.Timestamp.utcnow pandas.to_datetime.now arrow.now
        arrow.utcnow pendulum.now pendulum.today pendulum.tomorrow pendulum.yesterday whenever.Instant.now
        dateutil.utils.today dateutil.tz.tzlocal tzlocal email.utils.localtime email.utils.formatdate timeit
        calendar.TextCalendar.prmonth whenever.ZonedDateTime.now
    """,
    "random": """
        random numpy.random secrets uuid.uuid1 uuid.uuid4 uuid.uuid6 uuid.uuid7 uuid.uuid8 os.urandom os.getrandom
        polars.set_random_seed torch.rand* torch.manual_seed torch.normal torch.multinomial tensorflow.random
        jax.random.PRNGKey scipy.stats.qmc faker Faker ulid nanoid shortuuid crypt.mksalt tempfile.mktemp
        sklearn.utils.check_random_state cryptography.fernet.Fernet.generate_key
    """,
    "machine": """
        platform os.uname os.getpid os.getppid os.getlogin os.getuid os.geteuid os.getgid os.getgroups
        os.cpu_count os.process_cpu_count os.sched_getaffinity os.getloadavg os.times os.name os.sysconf os.confstr
        os.get_terminal_size os.ctermid os.umask os.getpgid os.getsid os.getpriority
        sys.platform sys.version* sys.hexversion sys.executable sys.prefix sys.base_prefix sys.exec_prefix
        sys.implementation sys.byteorder sys.maxsize sys.api_version sys.getwindowsversion sys.getsizeof
        sys.getrefcount sys.float_info sys.thread_info sysconfig socket.gethostname socket.getfqdn uuid.getnode
        multiprocessing.cpu_count multiprocessing.current_process threading.get_ident threading.get_native_id
        threading.active_count threading.current_thread psutil resource pwd grp spwd shutil.get_terminal_size
        pathlib.Path.home polars.thread_pool_size polars.show_versions
        polars.build_info numpy.show_config numpy.show_runtime polars.__version__ numpy.__version__
        pandas.__version__ gc.get_objects gc.get_count gc.get_stats torch.cuda torch.get_num_threads distro cpuinfo
        getpass.getuser
    """,
    "process": """
        subprocess os.system os.popen os.exec* os.spawn* os.posix_spawn* os.fork* os.startfile os.wait* os.pipe
        multiprocessing.Process multiprocessing.Pool multiprocessing.Queue multiprocessing.shared_memory
        multiprocessing.Pipe concurrent.futures.ProcessPoolExecutor asyncio.create_subprocess_* pty pexpect sh plumbum
        invoke fabric commands popen2 ray joblib.Parallel loky
    """,
    "network": """
        socket.socket socket.create_connection socket.getaddrinfo socket.gethostby* socket.getnameinfo
        socket.create_server urllib.request urllib3 http.client ftplib smtplib imaplib poplib nntplib telnetlib
        xmlrpc.client ssl requests httpx aiohttp pycurl websockets websocket grpc boto3 botocore aioboto3 s3fs gcsfs
        adlfs fsspec smart_open google.cloud azure paramiko asyncio.open_connection asyncio.open_unix_connection redis
        psycopg psycopg2 asyncpg pg8000 mysql pymysql MySQLdb oracledb pyodbc sqlalchemy pymongo motor cassandra
        elasticsearch opensearchpy kafka confluent_kafka pika snowflake clickhouse_connect clickhouse_driver trino
        prestodb impala pyhive influxdb neo4j mlflow wandb openai anthropic huggingface_hub kaggle yfinance
        transformers.* sentence_transformers sklearn.datasets.fetch_* seaborn.load_dataset datasets.load_dataset
        torchvision.datasets nltk.download webbrowser feast hvac consul etcd3 kubernetes docker
    """,
}  # fmt: skip

_PLACE = "where the project is and runs is not part of the hash; read files that depends_on declares"
# What needs a sentence of its own.
_SPECIAL: dict[str, tuple[Kind, str]] = {
    **{
        name: ("code", message)
        for name, message in {
            "builtins.": "names reached through builtins are not followed; use the names themselves",
            "sys.modules": "modules reached through sys.modules are not followed; import them by name",
            "sys._getframe": "names reached through stack frames are not followed; pass them as arguments",
            "sys._current_frames": "names reached through stack frames are not followed; pass them as arguments",
            "inspect.": "objects found by inspect at run time are not followed; use the objects themselves",
            "gc.get_referrers": "objects found by gc at run time are not followed; use the objects themselves",
            "gc.get_referents": "objects found by gc at run time are not followed; use the objects themselves",
            "functools.singledispatch": (
                "implementations registered by other modules are not followed; register them in this one"
            ),
            "pydantic.validate_call": "the function's annotations convert its arguments, and are not part of the hash",
        }.items()
    },
    **dict.fromkeys(
        (
            "site.addsitedir",
            "sys.meta_path",
            "sys.path_hooks",
            "sys.path_importer_cache",
            "importlib.machinery",
            "importlib.util.spec_from_file_location",
            "pydoc.importfile",
            "zipimport",
        ),
        ("project", "modules that are not found by Python's own imports are not followed; import them by name"),
    ),
    "sys.path": ("project", "modules found through a changed sys.path are not followed; import them from the project"),
    **dict.fromkeys(
        ("os.getcwd*", "os.path.abspath", "os.path.realpath", "pathlib.Path.cwd", "pathlib.PosixPath.cwd"),
        ("file", _PLACE),
    ),
}
OF_FILES: tuple[Kind, ...] = ("file", "native", "presence")
"""The kinds that are about a file, which a feature may declare."""

_SEEDED = """
    random.Random numpy.random.default_rng numpy.random.RandomState numpy.random.Generator numpy.random.SeedSequence
    numpy.random.PCG64 numpy.random.PCG64DXSM numpy.random.MT19937 numpy.random.Philox numpy.random.SFC64
    sklearn.utils.check_random_state scipy.stats.qmc.Sobol scipy.stats.qmc.Halton scipy.stats.qmc.LatinHypercube
"""
SEEDED = frozenset(_SEEDED.split())
"""Generators that always give the same numbers once they are given a seed."""

# Methods of whatever object, wherever they are mentioned: names that mean one thing.
_METHODS: dict[Kind, str] = {
    "file": """
        read_text read_bytes fromfile genfromtxt loadtxt memmap getline getlines open_text open_binary
        open_resource get_data resource_string resource_stream read_pickle read_hdf read_sas read_stata read_fwf
        read_clipboard read_html read_xml load_dotenv dotenv_values find_dotenv run_path fileConfig open_code
        load_workbook unpack_archive
    """,
    "native": """
        read_csv read_csv_auto read_csv_batched read_json_auto read_ndjson read_json read_parquet parquet_scan
        csv_scan json_scan read_ipc read_ipc_stream read_ipc_schema read_avro read_delta read_excel read_ods
        read_lines read_blob read_feather read_orc read_database read_database_uri read_table from_parquet from_csv
        from_csv_auto scan_csv scan_parquet scan_ndjson scan_ipc scan_delta scan_iceberg scan_lines
        scan_pyarrow_dataset load_model from_pretrained imread InferenceSession load_from_file load_extension
        connect LoadLibrary
    """,
    "presence": """
        is_file is_dir is_symlink is_mount is_block_device is_char_device is_fifo is_socket is_junction lstat
        samefile readlink iterdir rglob scandir listdir getsize getmtime getatime getctime isfile isdir islink
        lexists st_size st_mtime st_mtime_ns st_ctime iglob
    """,
    "environment": "environ environb getenv getenvb expandvars expanduser get_exec_path",
    "clock": "utcnow time_ns monotonic monotonic_ns perf_counter perf_counter_ns process_time clock_gettime",
    "random": "urandom getrandom uuid1 uuid4 token_bytes token_hex token_urlsafe randbelow set_random_seed",
    "machine": "gethostname getfqdn cpu_count getpid uname getlogin getuser getnode",
    "process": "Popen check_output check_call getoutput getstatusoutput posix_spawn",
    "network": "urlopen urlretrieve gethostbyname getaddrinfo create_connection",
    "project": "import_module walk_packages iter_modules resolve_name locate importfile run_module addsitedir",
}
METHOD: dict[str, Kind] = {name: kind for kind, names in _METHODS.items() for name in names.split()}
_PLACES = ("getcwd", "getcwdb", "cwd")
METHOD.update(dict.fromkeys(_PLACES, "file"))
# Names that are columns' and other things' too: only where they are called.
CALLED: dict[str, Kind] = {
    "open": "file", "read": "file", "load": "file", "exists": "presence", "stat": "presence", "glob": "presence",
    "walk": "presence", "now": "clock", "today": "clock", "home": "machine", "deserialize": "native",
}  # fmt: skip
UNSEEDED = {"shuffle", "sample"}
"""Methods that give other numbers each time unless a seed is among their arguments."""
SQL = {"sql", "execute", "executemany", "query", "sql_expr", "from_query"}
"""Methods and functions that take SQL, which may name files."""

ATTRIBUTE = {
    "__code__": "what a code object tells of its text and place is not followed",
    "__globals__": "names reached through a function's __globals__ are not followed",
    "__builtins__": "names reached through builtins are not followed",
    "__subclasses__": "subclasses are not followed from their base class",
    "co_firstlineno": "where the code of a function stands in its file is not part of the hash",
    "addFilter": "what a filter of a logger does when something is logged is not followed",
    "level": "the level of a logger is not part of the hash",
    "f_lineno": "where code stands in its file is not part of the hash",
    "tb_lineno": "where code stands in its file is not part of the hash",
    "__init_subclass__": "subclasses are not followed from their base class",
}

# A function of a SQL dialect that reads, and a text in the place of a table. Compiled where SQL is met.
_SQL_READS = (
    r"\b(?:read|scan|from|sniff)_(?:csv|parquet|json|ndjson|ipc|text|blob|avro|xlsx|delta|iceberg)\w*\s*\("
    r"|\b(?:parquet|csv|json|iceberg|delta|sqlite|postgres|mysql)_(?:scan|query|metadata|schema)\w*\s*\(|\bglob\s*\("
    r"|\b(?:from|join|attach|copy|load|install|import)\s+(?:database\s+)?['\"][^'\"]*[./:]"
)
_SQL_CHANGES = r"\b(?:random|rand|now|today|current_\w+|localtime\w*|getenv|uuid|gen_random_uuid)\b"
_SQL_FILE = r"['\"]([^'\"]*[./][^'\"]*)['\"]"


def _by_package() -> dict[str, list[tuple[str, Kind, str]]]:
    found: dict[str, list[tuple[str, Kind, str]]] = {}
    entries = [(name, *limit) for name, limit in _SPECIAL.items()]
    entries += [(name, kind, MESSAGES[kind]) for kind, names in _NAMES.items() for name in names.split()]
    for entry in entries:
        found.setdefault(entry[0].partition(".")[0], []).append(entry)
    return {top: sorted(entries, key=lambda entry: -len(entry[0])) for top, entries in found.items()}


_TABLE = _by_package()
_FAMILIES = [(top.rstrip("*"), entries[0]) for top, entries in _TABLE.items() if top.endswith("*")]
"""Entries of packages that are many: ``adbc_driver_*``."""


def of_dotted(name: str) -> tuple[Kind, str] | None:
    """The limit of something of another package, by its dotted name; None where it has none."""
    top, _, rest = name.partition(".")
    for entry, kind, message in _TABLE.get(top, ()):
        if entry.endswith(("*", ".")):
            if name.startswith(entry.rstrip("*")):
                return kind, message
        elif name == entry or name.startswith(f"{entry}."):
            return kind, message
    for beginning, (_, kind, message) in _FAMILIES:
        if top.startswith(beginning):
            return kind, message
    return None if top == "polars" or not rest else of_method(name.rpartition(".")[2])


def of_method(name: str, *, called: bool = False) -> tuple[Kind, str] | None:
    """The limit of a method by its name, whatever it belongs to; None where it has none."""
    kind = METHOD.get(name) or (CALLED.get(name) if called else None)
    if kind is None:
        return None
    return kind, _PLACE if name in _PLACES else MESSAGES[kind]


def of_sql(text: str) -> Kind | None:
    """What a text of SQL reads from outside of its tables; None where that is nothing."""
    if re.search(_SQL_READS, text, re.IGNORECASE):
        return "native"
    return "random" if re.search(_SQL_CHANGES, text, re.IGNORECASE) else None


def files_of_sql(text: str) -> tuple[str, ...]:
    """The texts in SQL that look like files."""
    return tuple(re.findall(_SQL_FILE, text))
