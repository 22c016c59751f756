# edgeai_build(): models made by `edgeai build` as a target of CMake.
#
#   include(EdgeAI)
#   edgeai_build(models LOCKED ONLY digits/pi OUTPUTS build/digits/pi/digits.edge)
#   add_dependencies(app models)
#
# edgeai_build(<target>
#              [CONFIG <edgeai.toml>]      default: edgeai.toml beside the CMakeLists.txt
#              [ONLY <model[/target]>]     this model, or this target of it
#              [LOCKED]                    replay edgeai.lock, never search
#              [OUTPUTS <file>...])        files that it writes, relative to the folder of CONFIG: they can be sources
#                                          of other targets, and what depends on them is made again when they change
#
# The target belongs to `all` and is always run: edgeai knows what is up to date, and touches only files that changed.
# A broken gate fails the build. The program is EDGEAI_EXECUTABLE, by default `edgeai` on the path.

cmake_minimum_required(VERSION 3.16)

find_program(EDGEAI_EXECUTABLE edgeai DOC "The command line of edgeai")

function(edgeai_build target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "LOCKED" "CONFIG;ONLY" "OUTPUTS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "edgeai_build(${target}): unknown arguments: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT EDGEAI_EXECUTABLE)
    message(FATAL_ERROR "edgeai_build(${target}): edgeai is not on the path. pip install edgeai, or set EDGEAI_EXECUTABLE.")
  endif()
  if(NOT arg_CONFIG)
    set(arg_CONFIG edgeai.toml)
  endif()
  get_filename_component(config "${arg_CONFIG}" ABSOLUTE BASE_DIR "${CMAKE_CURRENT_SOURCE_DIR}")
  if(NOT EXISTS "${config}")
    message(FATAL_ERROR "edgeai_build(${target}): there is no file ${config}.")
  endif()
  get_filename_component(root "${config}" DIRECTORY)

  set(command "${EDGEAI_EXECUTABLE}" build "${config}")
  if(arg_LOCKED)
    list(APPEND command --locked)
  endif()
  if(arg_ONLY)
    list(APPEND command --only "${arg_ONLY}")
  endif()

  set(outputs "")
  foreach(output IN LISTS arg_OUTPUTS)
    get_filename_component(output "${output}" ABSOLUTE BASE_DIR "${root}")
    list(APPEND outputs "${output}")
  endforeach()
  set(byproducts "")
  if(outputs)
    set(byproducts BYPRODUCTS ${outputs})
  endif()

  add_custom_target(
    ${target} ALL
    COMMAND ${command}
    ${byproducts}
    WORKING_DIRECTORY "${root}"
    COMMENT "edgeai build ${arg_ONLY}"
    USES_TERMINAL
    VERBATIM)
endfunction()
