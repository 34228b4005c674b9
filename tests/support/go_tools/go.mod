// Copyright (c) 2026 the certautopilot.ops authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
//
// mongodump and mongorestore 100.10.0, as tests/support/mongo_tools.py builds them. Their tags have no leading v.
module certautopilot.example/tools

go 1.21

require github.com/mongodb/mongo-tools v0.0.0-20240723193119-837c2bc263f4
