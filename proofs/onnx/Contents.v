(** * What an ONNX file holds

    - [constant_of]: a float tensor, by the place of its raw data in the file;
    - [operator_of]: an operator of ONNX's own, by its kind, what it reads and writes, its
      attributes;
    - [value_of]: an input or output, by its name, element type, and sizes.

    [None] for a message that holds anything else: metadata, comments, data outside of the file or
    of other types, attributes of other kinds, operators of another domain, local functions.

    A definition, to be read: field numbers are those of onnx.proto. Follows onnxfile.py,
    schema.py and declared.py. Rests on Messages.v. *)

From Coq Require Import List NArith Bool String.
From Lastbit Require Import onnx.Messages.
Import ListNotations.
Open Scope N_scope.

(** ** The messages of onnx.proto, as far as they are read *)

Definition MODEL : schema :=
  [(1, OneNumber); (2, OneChunk); (3, OneChunk); (5, OneNumber); (7, OneChunk); (8, Chunks)].
Definition OPERATORS : schema := [(1, OneChunk); (2, OneNumber)].
Definition GRAPH : schema := [(1, Chunks); (2, OneChunk); (5, Chunks); (11, Chunks); (12, Chunks)].
Definition NODE : schema :=
  [(1, Chunks); (2, Chunks); (3, OneChunk); (4, OneChunk); (5, Chunks); (7, OneChunk)].
Definition ATTRIBUTE : schema := [(1, OneChunk); (3, OneNumber); (8, Numbers); (20, OneNumber)].
Definition TENSOR : schema := [(1, Numbers); (2, OneNumber); (8, OneChunk); (9, OneChunk)].
Definition VALUE : schema := [(1, OneChunk); (2, OneChunk)].
Definition TYPE : schema := [(1, OneChunk)].
Definition TENSOR_TYPE : schema := [(1, OneNumber); (2, OneChunk)].
Definition SHAPE : schema := [(1, Chunks)].
Definition DIMENSION : schema := [(1, OneNumber); (2, OneChunk)].

(** Element types, and types of attributes. *)
Definition FLOAT : N := 1.
Definition UINT8 : N := 2.
Definition INT : N := 2.
Definition INTS : N := 7.

(** Field [n] is there, and holds [v]. *)
Definition holds (v : N) (n : N) (m : list field) : bool :=
  match number_at n m with Some w => v =? w | None => false end.

Definition none {A} (l : list A) : bool := match l with [] => true | _ => false end.
Definition named (x : string) : bool := negb (String.eqb x "").
Fixpoint distinct (l : list string) : bool :=
  match l with [] => true | x :: l' => negb (existsb (String.eqb x) l') && distinct l' end.

(** No integer of a file is larger, nor a size 0. *)
Definition small (n : N) : bool := n <? 2 ^ 31.
Definition size_ok (n : N) : bool := (0 <? n) && small n.

(** ** Constants *)

Record constant := { name : string; dims : list N; place_of : N }.

Definition constant_of (c : content) : option constant :=
  let* m := message TENSOR c in
  let* x := text_at 8 m in
  let* sizes := numbers 1 m in
  match chunks 9 m with
  | [Chunk start length _] =>
      only holds FLOAT 2 m && named x && forallb size_ok sizes &&
           (length =? 4 * fold_right N.mul 1 sizes) then
      Some {| name := x; dims := sizes; place_of := start |}
  | _ => None
  end.

(** ** Operators *)

Inductive attribute := One (v : N) | Several (vs : list N).
Record operator := {
  kind : string; label : string; reads : list string; writes : string;
  attributes : list (string * attribute) }.

(** An integer, or integers: in the field that the type names, and in no other. *)
Definition attribute_of (c : content) : option (string * attribute) :=
  let* m := message ATTRIBUTE c in
  let* a := text_at 1 m in
  let* vs := numbers 8 m in
  only named a && forallb small vs then
  match number_at 3 m with
  | Some v => only holds INT 20 m && small v && none (chunks 8 m) then Some (a, One v)
  | None => only holds INTS 20 m && none (chunks 3 m) then Some (a, Several vs)
  end.

Definition operator_of (c : content) : option operator :=
  let* m := message NODE c in
  let* o := text_at 4 m in
  let* l := text_at 3 m in
  let* domain := text_at 7 m in
  let* xs := texts 1 m in
  let* ys := texts 2 m in
  let* given := all_some (map attribute_of (chunks 5 m)) in
  match ys with
  | [y] => only String.eqb domain "" && distinct (map fst given) then
           Some {| kind := o; label := l; reads := xs; writes := y; attributes := given |}
  | _ => None
  end.

(** ** Inputs and outputs *)

(** A size is a number, or it has a name and is not said; not both. *)
Inductive extension := Size (n : N) | Any (x : string).

Definition size_of (c : content) : option extension :=
  let* m := message DIMENSION c in
  match number_at 1 m, chunks 2 m with
  | Some n, [] => only size_ok n then Some (Size n)
  | None, [x] => let* x := text x in only named x then Some (Any x)
  | _, _ => None
  end.

(** The message in field [n], which must be there. *)
Definition part (s : schema) (n : N) (m : list field) : option (list field) :=
  match chunks n m with [c] => message s c | _ => None end.

Definition value_of (c : content) : option (string * N * list extension) :=
  let* m := message VALUE c in
  let* x := text_at 1 m in
  let* t := part TYPE 2 m in
  let* t := part TENSOR_TYPE 1 t in
  let* e := number_at 1 t in
  let* s := part SHAPE 2 t in
  let* sizes := all_some (map size_of (chunks 1 s)) in
  only named x then Some (x, e, sizes).

Definition same_extension (a b : extension) : bool :=
  match a, b with Size m, Size n => m =? n | Any x, Any y => String.eqb x y | _, _ => false end.

(** ** The file *)

Fixpoint same (a b : list N) : bool :=
  match a, b with [], [] => true | x :: a', y :: b' => (x =? y) && same a' b' | _, _ => false end.

(** Versions of ONNX after 3, in which a constant is no input; and of its operators from 13 to 17,
    in which the axes of ReduceMean are an attribute. *)
Definition version_ok (m : list field) : bool :=
  match number_at 1 m, map (message OPERATORS) (chunks 8 m) with
  | Some v, [Some o] =>
      match text_at 1 o, number_at 2 o with
      | Some domain, Some n =>
          (4 <=? v) && (v <=? 14) && String.eqb domain "" && (13 <=? n) && (n <=? 17)
      | _, _ => false
      end
  | _, _ => false
  end.

(** An ONNX file begins with its version. "ORTM" or "TFL3" at byte 4 would make it a file of other
    programs, too. *)
Definition begins (file : bytes) : bool :=
  match map n_of (firstn 8 file) with
  | [v; _; _; _; a; b; c; d] =>
      (v =? 8) && negb (same [a; b; c; d] [79; 82; 84; 77] || same [a; b; c; d] [84; 70; 76; 51])
  | _ => false
  end.
