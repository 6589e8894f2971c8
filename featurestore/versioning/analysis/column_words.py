"""What code may use and still name every column by a literal: the tables of `columns`. They are part of recipe 2.

Whatever is not here may make a text that is a column's name, or show a frame's columns: there all columns count. Any
change of a table is a new recipe, since it changes hashes.
"""

from __future__ import annotations


def _words(text: str, before: str = "") -> frozenset[str]:
    return frozenset(f"{before}{word}" for word in text.split())


# Methods of expressions and frames, of lists and dicts, that give no text and choose no columns by themselves.
METHODS = _words(
    """
    abs add alias and_ any append approx_n_unique approx_quantile arccos arccosh arcsin arcsinh arctan arctanh
    arg_max arg_min arg_sort arg_true arg_unique backward_fill bitwise_and bitwise_or bitwise_xor bottom_k
    bottom_k_by cast cbrt ceil clip cos cosh cot count cum_count cum_max cum_min cum_prod cum_sum cumulative_eval
    cut degrees diff dot entropy eq eq_missing ewm_mean ewm_mean_by ewm_std ewm_var exp explode fill_nan
    fill_null filter first floor floordiv forward_fill gather gather_every ge gt has_nulls head implode
    interpolate interpolate_by is_between is_close is_empty is_finite is_first_distinct is_in is_infinite
    is_last_distinct is_nan is_not_nan is_not_null is_null kurtosis last le len limit log log10 log1p lt
    map_batches map_elements max max_by mean median min min_by mod mode mul ne ne_missing neg not_ null_count or_
    over pct_change peak_max peak_min pipe pow product qcut quantile radians rank repeat_by reverse rolling
    rolling_kurtosis rolling_map rolling_max rolling_max_by rolling_mean rolling_mean_by rolling_median
    rolling_median_by rolling_min rolling_min_by rolling_quantile rolling_quantile_by rolling_rank rolling_skew
    rolling_std rolling_std_by rolling_sum rolling_sum_by rolling_var rolling_var_by round round_sig_figs sample
    search_sorted set_sorted shift sign sin sinh skew slice sort sort_by sqrt std sub sum tail tan tanh top_k
    top_k_by truediv truncate upper_bound lower_bound value_counts var xor then otherwise when agg clone collect
    drop group_by group_by_dynamic height join_asof lazy map_groups rechunk select select_seq set_sorted
    with_columns with_columns_seq with_row_index items keys values get setdefault update add discard remove extend
    insert pop clear copy index debug info warning error exception critical
    """
)

# Methods that texts have too, or that look at a whole frame where no column is named: harmless on an expression.
OF_EXPRESSIONS = _words("replace replace_strict n_unique unique drop_nulls drop_nans is_duplicated is_unique hash")
# Of those and of frames, the ones that are harmless where the columns are named in the call.
WITH_COLUMNS = _words("unique drop_nulls drop_nans")

# What takes the items of its arguments, and what takes types of columns as well as their names.
ITERATING_METHODS = _words("extend update")
LITERALLY = _words("explode")

NAMESPACES = {
    "str": _words(
        """
    contains contains_any count_matches decode encode ends_with escape_regex extract extract_all extract_groups
    extract_many find find_many head json_decode json_path_match len_bytes len_chars pad_end pad_start replace
    replace_all replace_many reverse slice split split_exact splitn starts_with strip_chars strip_chars_end
    strip_chars_start strip_prefix strip_suffix strptime tail to_date to_datetime to_decimal to_integer
    to_lowercase to_time to_titlecase to_uppercase zfill join
    """
    ),
    "dt": _words(
        """
    add_business_days base_utc_offset cast_time_unit century combine convert_time_zone date day days_in_month
    dst_offset epoch hour is_business_day is_leap_year iso_year microsecond millennium millisecond minute month
    month_end month_start nanosecond offset_by ordinal_day quarter replace replace_time_zone round second strftime
    time timestamp to_string total_days total_hours total_microseconds total_milliseconds total_minutes
    total_nanoseconds total_seconds truncate week weekday year
    """
    ),
    "list": _words(
        """
    agg all any arg_max arg_min concat contains count_matches diff drop_nulls eval explode filter first gather
    gather_every get head item join last len max mean median min n_unique reverse sample set_difference
    set_intersection set_symmetric_difference set_union shift slice sort std sum tail to_array unique var
    """
    ),
    "arr": _words(
        """
    agg all any arg_max arg_min contains count_matches dot eval explode first get head join last len max mean
    median min n_unique reverse shift slice sort std sum tail to_list unique var
    """
    ),
    "cat": _words("ends_with len_bytes len_chars slice starts_with"),
    "bin": _words("contains decode encode ends_with starts_with size slice head tail"),
    "struct": _words("field json_encode rename_fields with_fields"),
    "name": _words("keep prefix suffix to_lowercase to_uppercase"),
}

# Of Polars, what makes expressions from what it is given, and types.
POLARS = _words(
    """
    when lit struct concat concat_str concat_list concat_arr coalesce max_horizontal min_horizontal sum_horizontal
    mean_horizontal any_horizontal all_horizontal len element duration date datetime time int_range int_ranges
    date_range datetime_range arctan2 corr cov rolling_corr rolling_cov fold reduce cum_fold cum_reduce
    map_batches format business_day_count from_epoch repeat zeros ones arg_where arg_sort_by DataFrame LazyFrame
    Series Expr Int8 Int16 Int32 Int64 Int128 UInt8 UInt16 UInt32 UInt64 Float32 Float64 String Utf8 Boolean Date
    Datetime Duration Time Categorical Enum List Array Struct Decimal Binary Null Object
    """,
    "polars.",
)
# What takes the names of columns where it may as well take their types.
BY_NAME = _words(
    """
    col sum min max mean median std var count n_unique approx_n_unique first last head tail implode any quantile
    cum_sum cum_count
    """,
    "polars.",
)
FRAMES = frozenset({"polars.concat", "polars.DataFrame", "polars.LazyFrame", "polars.Series", "polars.Expr"})

# Of other packages. A name that ends in a dot stands for everything below it.
OTHERS = _words(
    """
    math. typing. collections.abc. polars.exceptions. logging.getLogger warnings.warn datetime.date
    datetime.datetime datetime.time datetime.timedelta datetime.timezone datetime.timezone.utc datetime.UTC
    zoneinfo.ZoneInfo decimal.Decimal fractions.Fraction dataclasses.dataclass dataclasses.field enum.Enum
    enum.IntEnum enum.Flag enum.IntFlag enum.unique abc.ABC abc.abstractmethod functools.partial functools.cache
    functools.lru_cache functools.wraps functools.reduce operator.add operator.sub operator.mul operator.truediv
    operator.floordiv operator.neg operator.gt operator.ge operator.lt operator.le operator.eq operator.ne
    operator.and_ operator.or_ featurestore.feature featurestore.authoring.feature numpy.log numpy.log1p
    numpy.log2 numpy.log10 numpy.exp numpy.expm1 numpy.sqrt numpy.abs numpy.absolute numpy.sign numpy.sin
    numpy.cos numpy.tan numpy.arctan2 numpy.floor numpy.ceil numpy.round numpy.power numpy.where numpy.clip
    numpy.minimum numpy.maximum numpy.isnan numpy.isfinite numpy.pi numpy.e numpy.nan numpy.inf numpy.float32
    numpy.float64 numpy.int32 numpy.int64
    """
)
BUILTINS = _words(
    """
    len range float int complex abs round bool pow divmod isinstance issubclass callable print object property
    staticmethod classmethod super NotImplemented Ellipsis min max sum any all list tuple set frozenset dict
    sorted zip enumerate reversed map filter Exception ValueError TypeError KeyError IndexError ZeroDivisionError
    RuntimeError ArithmeticError AttributeError LookupError NotImplementedError AssertionError OverflowError
    StopIteration
    """
)
# Of those, what goes through its arguments item by item: a text falls into its letters there, a frame into its columns.
ITERATING = _words(
    "sum any all list tuple set frozenset dict sorted zip enumerate reversed map filter functools.reduce"
)
