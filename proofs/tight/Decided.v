(** * What the fast checker decides about an ONNX file is so

    - [decide]: the units of a file, forwards and backwards: a bound R of the change of any
      difference of two logits, or [None];
    - [decided]: if it finds no more than R, the statement holds of the network in the file, with
      the U that follows.

    Rests on UnitsSound.v, WalkSound.v, BackwardSound.v, Facts.v and Near.v. *)

From Coq Require Import Reals Lra Lia ZArith List Bool Uint63.
From Lastbit Require Import Statement Totals operations.Units operations.Convolution.
From Lastbit Require Import network.Forms network.Bound network.Rules network.Near.
From Lastbit Require Import checker.Program checker.Numbers checker.Annotation checker.Roundings
  checker.Rows checker.Facts.
From Lastbit Require Import fast.Walk fast.WalkSound fast.FastWalk fast.FastSame.
From Lastbit Require Import onnx.File onnx.Placement onnx.Units onnx.UnitsSound.
From Lastbit Require fast.WalkHistory fast.WalkState fast.Backward fast.BackwardVisit
  fast.BackwardSound.
Import ListNotations.
Open Scope R_scope.

(** Of each operator: whether its units' errors are carried on as columns, and whether they are
    boxed. *)
Definition flags : Type := list (bool * bool).

Definition items_of (us : list cunit) (flag : bool * bool) : list item :=
  map (fun o => Unit o (fst flag) (snd flag)) us ++ if fst flag then [Forget] else [].

Definition items (uss : list (list cunit)) (fs : flags) : list item :=
  flat_map (fun x => items_of (fst x) (snd x)) (combine uss fs).

Definition decide (file : list int) (ns : list node) (fs : flags) (ratio : Z) (boundary : int) :
  option Z :=
  match units_in file ns with
  | Some uss =>
      if (length uss =? length fs)%nat && (0 <=? ratio)%Z && (ratio <=? 2 ^ 22)%Z &&
         (length (logit_keys ns) <=? 2 ^ 14)%nat then
        match fast_walk ratio boundary (items uss fs) start [] with
        | Some (_, seen) => if forallb (fun l => Pos.to_nat l <=? length seen)%nat (logit_keys ns)
                            then Backward.backward (logit_keys ns) seen else None
        | None => None
        end
      else None
  | None => None
  end.

(** Whether it finds no larger number than [r]. *)
Definition within (file : list int) (ns : list node) (fs : flags) (ratio : Z) (boundary : int)
  (r : Z) : bool :=
  match decide file ns fs ratio boundary with Some found => (found <=? r)%Z | None => false end.

Lemma few_is o : Outputs.few o -> few_terms o.
Proof. destruct o; try easy. Qed.

Lemma units_app l l' : WalkHistory.units_of (l ++ l') = WalkHistory.units_of l ++
  WalkHistory.units_of l'.
Proof. induction l as [|[o b x|] l IH]; [reflexivity|cbn; now rewrite IH|exact IH]. Qed.

Lemma items_units uss fs : length uss = length fs ->
  WalkHistory.units_of (items uss fs) = concat uss.
Proof.
  revert fs. induction uss as [|us uss IH]; intros [|f fs] L; try discriminate; [reflexivity|].
  cbn [items combine flat_map concat fst snd]. rewrite units_app.
  f_equal; [|apply IH; now injection L]. unfold items_of. rewrite units_app.
  replace (WalkHistory.units_of (if fst f then [Forget] else [])) with (@nil cunit)
    by now destruct (fst f).
  rewrite app_nil_r. induction us as [|u us IH2]; [reflexivity|]. cbn. now rewrite IH2.
Qed.

Section File.
Variables (file : list int) (ns : list node) (fs : flags) (ratio : Z) (boundary : int)
  (r upper : Z).
Hypothesis Hs : sound ns = true.
Hypothesis D : within file ns fs ratio boundary r = true.
Hypothesis Hr : (0 <= r)%Z.
Hypothesis U : (upper_of (Z.of_nat (length (logit_keys ns))) r <= upper)%Z.

(* map: what the fast checker finds of an ONNX file holds of its network *)
Theorem decided : always_finite (network_of_file file ns) /\
  last_bit_bound (network_of_file file ns) (real upper).
Proof.
  unfold within, decide in D. destruct (units_in file ns) as [uss|] eqn:E; [|discriminate].
  destruct (_ && _)%bool eqn:L; [|discriminate]. apply andb_prop in L. destruct L as [L L2].
  apply Nat.leb_le in L2. rewrite !andb_true_iff, Nat.eqb_eq, !Z.leb_le in L.
  destruct L as [[L1 R1] R2]. rewrite fast_walk_ok in D.
  destruct (walk _ _ _ _ _) as [[st seen]|] eqn:W; [|discriminate].
  destruct (forallb _ _) eqn:L3; [|discriminate].
  destruct (units_in_ok file ns uss Hs E) as (full & F1 & F2 & F3 & F4 & F5).
  assert (F5' : forall k o, nth_error (concat full) k = Some o ->
    (forall j, In j (reads_of o) -> (num j < k)%nat) /\ few_terms o).
  { intros k o H. destruct (F5 k o H) as [A B]. split; [exact A|now apply few_is]. }
  set (net := {| cpixels := image_pixels ns; cunits := concat full; clogits := logit_keys ns |}).
  assert (I : WalkHistory.units_of (items uss fs) = map strip (cunits net)).
  { rewrite (items_units _ _ L1), <- F1. cbn [cunits net]. symmetry. apply concat_map. }
  destruct (walk_ok _ _ _ _ _ net (conj R1 R2) W I (fun k o H => proj1 (F5' k o H))) as [Ls WK].
  destruct (Backward.backward _ _) as [found|] eqn:BW; [|discriminate].
  apply Z.leb_le, real_le in D. destruct (BackwardSound.backward_ok _ _ _ BW) as [dual B].
  destruct (WK dual) as (d & Dd & Fa & Re & De).
  assert (Fa' := full_facts net d (fun k o H => conj (proj2 (F5' k o H)) (Fa k o H))).
  assert (Len : length (units (network_of net)) = length (cunits net)) by apply length_map.
  assert (Bd : forall q c j, (q < pixels (network_of net))%nat ->
    (c < length (logit_keys ns))%nat -> (j < length (logit_keys ns))%nat ->
    logit_bound (network_of net) (annotation_of net d) q c j <= real r).
  { intros q c j Hq Hc Hj. apply Rle_trans with (2 := D).
    apply B; [lia|reflexivity| | |assumption..].
    { intros i v H. destruct (De i v H) as (D1 & D2 & D3 & D4). split; auto. }
    intros. cbn [Bound.dual annotation_of]. now rewrite Dd. }
  assert (V : valid (network_of net) (annotation_of net d) (real r)).
  { apply facts_valid; [exact Fa'| |exact L2|exact Bd].
    intros l Hl. rewrite forallb_forall in L3. specialize (L3 l Hl). apply Nat.leb_le in L3.
    rewrite <- Ls. unfold num. lia. }
  apply (valid_sound _ (annotation_of net d) r); [|exact Hr|].
  - apply (near_valid (real 1) (network_of_file file ns) (network_of net)); try assumption.
    intros k ws b Hk v x Hv Hx. apply units_nth in Hk. destruct Hk as [Hk Eo].
    assert (Hu := unit_is _ _ Hk).
    assert (Fk := Fa' k _ Hu). rewrite Eo.
    apply (values_room net d Fa' k Hk); [|now apply Re|exact Hv|exact Hx].
    destruct (r_box (row_nat d k)) eqn:Bx; [|reflexivity]. apply (f_box _ _ _ _ _ Fk) in Bx.
    destruct (Annotation.unit_at net k); discriminate.
  - rewrite F3. now rewrite length_map.
Qed.
End File.
