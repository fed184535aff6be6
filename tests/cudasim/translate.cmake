# A .cu file as C++ for the simulated GPU: cmake -DFROM=x.cu -DTO=x.cpp -P translate.cmake
# Three things of the language are rewritten; what they become is in include/cuda_runtime.h. A launch is kernel<<<...>>>(, with
# the kernel a name or a template with plain arguments, and no semicolon inside.
file(READ "${FROM}" text)
set(name "[A-Za-z_][A-Za-z_0-9]*")
string(REGEX REPLACE "(${name}(<[A-Za-z_0-9, ]*>)?)<<<([^;{}]*)>>>\\("
    "sim_launch(\"\\1\", \\3).of([=](const auto &...sim_arg) { \\1(sim_arg...); })(" text "${text}")
string(REGEX REPLACE "extern __shared__ (__align__\\([0-9]+\\) )?([A-Za-z_0-9 ]+) (${name})\\[\\];"
    "\\2 *const \\3 = (\\2 *)sim_dynamic();" text "${text}")
string(REGEX MATCHALL "__shared__ [^;=]*" decls "${text}")
list(REMOVE_DUPLICATES decls)
foreach(decl IN LISTS decls)
    string(REGEX REPLACE "\\[[^]]*\\]" "" plain "${decl}")
    string(REGEX MATCHALL "${name} *(,|$)" names "${plain}")
    string(REGEX REPLACE "^__shared__" "static" to "${decl}")
    foreach(one IN LISTS names)
        string(REGEX REPLACE "[ ,]" "" one "${one}")
        string(APPEND to "; sim_fresh(&${one}, sizeof ${one})")
    endforeach()
    string(REPLACE "${decl};" "${to};" text "${text}")
endforeach()
foreach(left "<<<" "__shared__" "extern static" "asm volatile" "asm(")
    string(FIND "${text}" "${left}" at)
    if(NOT at EQUAL -1)
        message(FATAL_ERROR "${FROM}: ${left} is there in a form that tests/cudasim/translate.cmake does not know")
    endif()
endforeach()
file(WRITE "${TO}" "#line 1 \"${FROM}\"\n${text}")
