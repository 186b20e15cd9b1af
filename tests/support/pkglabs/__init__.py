# SPDX-License-Identifier: Apache-2.0
"""Real environments of each package manager, made by the managers themselves.

What is slow to make is made once per machine and kept (`kept`). `place.Environment` is a project
to work in; `debs`, `wheels`, `rpms`, `pacmans` and `others` make packages and what installs them,
`maintained` has Debian packages whose scripts do much, `recorded` Python packages that need no pip.
`real` has upgrades of real packages from the registries, with real breakages among them, `chains`
histories of them, `merges` branches that are merged.
"""
