"""The subcommands: each module has NAME, HELP, DESCRIPTION, add_arguments and run."""

from . import (
    bench_command,
    calibrate_command,
    check_command,
    compile_command,
    eval_command,
    export_command,
    import_command,
    run_command,
)

ALL = [
    export_command,
    check_command,
    import_command,
    calibrate_command,
    compile_command,
    run_command,
    eval_command,
    bench_command,
]
