# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rotation. Story: options, plan, leadership, beginning, leader, shared_work, deadline, pipeline, batch, outcome.

`plain_documents` is the quick way through `batch`. Owns the work that several processes share and its moves from state
to state. Must not import verbs. Enter at `plan`; `_verbs/kek_rotate.py` tells the story.
"""
