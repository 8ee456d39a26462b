"""``python -m services.standalone``: the command ``lalmesh``, as supervisors start their workers."""

from services.standalone.cli import main

main()
