"""zsar_lab: a workbench for zero-shot action recognition.

Nothing is imported here on purpose: `import zsar_lab` is instant, and each room is imported by its name, for example
`from zsar_lab.workspace import Workspace`.
"""

__version__ = "0.1.0"
