(** * The quick walk computes the same

    - [fast_visit_ok]: [fast_visit] is [visit];
    - [fast_walk_ok]: [fast_walk] is [walk], so that what WalkSound.v proves of the one is so of the
      other.

    Rests on FastRules.v and FastZ.v. *)

From Coq Require Import ZArith List Bool FMapPositive Uint63 Lia.
From Coq Require Sint63.
From Lastbit Require Import checker.Numbers checker.Asked fast.Lines fast.FastZ fast.FastCurves
  fast.FastRules.
From Lastbit Require Import fast.Walk fast.FastWalk.
From Lastbit Require fast.Backward.
Import ListNotations.
Open Scope Z_scope.

(** ** Numbers *)

Lemma get_ok f : get f = val f.
Proof. apply grid_of_ok. Qed.

Lemma plain_of_ok i : plain_of i = Uint63.to_Z i.
Proof.
  unfold plain_of. rewrite same. assert (B := Uint63.to_Z_bounded i). change (Uint63.to_Z 0) with 0.
  destruct (Z.eqb_spec (Uint63.to_Z i) 0) as [->|N]; [reflexivity|]. apply binary_ok.
  change (2 ^ (4 * Z.of_nat 16)) with 0x10000000000000000. change wB with 0x8000000000000000 in B.
  lia.
Qed.

Lemma raise_15 z : raise 15 z = Z.shiftl z 60. Proof. apply (raise_ok 15). Qed.
Lemma raise_17 z : raise 17 z = Z.shiftl z (100 - grain). Proof. apply (raise_ok 17). Qed.
Lemma up_of_15 z : up_of 15 z = - Z.shiftr (- z) 60. Proof. apply (up_of_ok 15). Qed.

Lemma let_left {A B} (a : A) (b : A -> B) (r : B) : (forall x, x = a -> b x = r) ->
  (let x := a in b x) = r.
Proof. intros H. exact (H a eq_refl). Qed.
Lemma let_right {A B} (a : A) (b : A -> B) (r : B) : (forall x, x = a -> r = b x) ->
  r = (let x := a in b x).
Proof. intros H. exact (H a eq_refl). Qed.

(** ** Lines *)

Lemma fast_bulk_ok s : fast_bulk s = bulk s.
Proof. unfold fast_bulk, bulk. now rewrite !plain_of_ok. Qed.

Lemma fast_size_ok s : fast_size s = size s.
Proof. unfold fast_size, size. now rewrite raise_17, fast_bulk_ok. Qed.

Lemma up_one z : up (z * one) = z.
Proof.
  unfold up. rewrite Z.shiftr_div_pow2 by lia. change (2 ^ 100) with one.
  replace (- (z * one)) with (- z * one) by ring. rewrite Z.div_mul by discriminate. ring.
Qed.

Section Same.
Variables (ratio : Z) (boundary : int).

Lemma fast_drift_ok s : fast_drift ratio s = drift ratio s.
Proof.
  unfold fast_drift, drift. rewrite up_one, raise_17, !plain_of_ok. f_equal. apply (raise_ok 12).
Qed.

Lemma fast_parts_ok m kept : fast_parts m kept = parts m kept.
Proof.
  unfold fast_parts, parts. induction kept as [|w kept IH]; [reflexivity|]. cbn [fold_right].
  rewrite IH. cbv zeta. unfold view. destruct (c_base (cell_at m (snd w))).
  - rewrite times_one_ok. reflexivity.
  - destruct (c_line (cell_at m (snd w))) as [[t p]|]; [|reflexivity]. now rewrite get_ok.
Qed.

Lemma fast_total_ok l : fast_total l = total_of l.
Proof.
  unfold fast_total, total_of. f_equal. apply map_ext. intros x.
  now rewrite low_100_ok, fast_bulk_ok.
Qed.

Lemma fast_mixed_ok h l : fast_mixed boundary h (fast_total l) l = mixed boundary h l.
Proof.
  rewrite fast_total_ok. unfold fast_mixed, mixed. cbv zeta. destruct (_ || _ || _); [reflexivity|].
  destruct (combined _ _ _) as [s|]; [|reflexivity]. rewrite up_100_ok, raise_17, plain_of_ok.
  do 4 f_equal. apply map_ext. intros x. now rewrite !up_100_ok, z_of_ok, fast_size_ok.
Qed.

Lemma fast_columns_ok st k kept : fast_columns boundary st k kept = columns_for boundary st k kept.
Proof.
  unfold fast_columns, columns_for. rewrite fast_parts_ok.
  destruct (parts (known st) kept) as [|[x p] [|y ps]]; [reflexivity| |].
  - destruct (PositiveMap.find p (lines st)) as [s|]; [|reflexivity]. cbv zeta.
    now rewrite low_100_ok, !up_100_ok, times_one_ok, get_ok, fast_size_ok.
  - destruct (found (lines st) _) as [l|]; [|reflexivity]. cbv zeta.
    rewrite fast_mixed_ok, fast_total_ok, get_ok. reflexivity.
Qed.

Lemma fast_settled_ok columns : fast_settled boundary columns = settled boundary columns.
Proof.
  destruct columns as [[[t l] p]|]; [|reflexivity]. unfold fast_settled, settled. cbv zeta.
  now rewrite fast_mixed_ok, times_one_ok, get_ok.
Qed.

(** ** One unit *)

Section Unit.
Variable m : cells.
Local Notation at_ := (row_in m).

Lemma look_ok j : look m j = (r_centre (at_ j), r_rad (at_ j)).
Proof. unfold look. cbv zeta. now rewrite !get_ok. Qed.

Lemma ends j : ends_of (look m) j = (low at_ j, high at_ j).
Proof. apply ends_ok, look_ok. Qed.

Lemma fast_slope_ok o : fast_slope m o = slope_for at_ o.
Proof.
  destruct o as [p|ws bs c|j|j|i j]; cbn [fast_slope slope_for]; try reflexivity.
  - rewrite ends, sigmoid_slopes_ok. reflexivity.
  - rewrite ends, silu_slopes_ok. reflexivity.
  - now rewrite look_ok.
Qed.

Lemma fast_off_ok o box s : fast_off m o box s = off_for at_ o box s.
Proof.
  unfold fast_off, off_for. rewrite (image_ok at_ _ look_ok). destruct box; [reflexivity|].
  destruct o as [p|ws bs c|j|j|i j]; try reflexivity; cbv zeta; rewrite look_ok, up_100_ok.
  - now rewrite sigmoid_value_ok.
  - now rewrite silu_value_ok.
Qed.

Lemma fast_times_ok e l : fast_times e l = times e l.
Proof. apply map_ext. intros x. now rewrite up_100_ok. Qed.

Lemma fast_early_kept_ok kept : fast_early_kept m kept = early_kept m kept.
Proof.
  unfold fast_early_kept, early_kept. induction kept as [|w kept IH]; [reflexivity|].
  cbn [fold_right]. rewrite IH. destruct (c_early (cell_at m (snd w))); [reflexivity|].
  now rewrite fast_times_ok.
Qed.

Lemma fast_early_change_ok o s : fast_early_change m o s = early_change at_ m o s.
Proof.
  destruct o as [p|ws bs [c|]|j|j|i j]; cbn [fast_early_change early_change]; try reflexivity.
  - now rewrite fast_early_kept_ok.
  - rewrite ends, <- !fast_times_ok, silu_dev_ok. now destruct (c_early (cell_at m j)).
Qed.

Lemma fast_rough_ok l : fast_rough l = rough l.
Proof. apply map_ext. intros x. now rewrite raise_15, up_of_15. Qed.

Lemma weighted_ok f kept :
  weighted m f kept = up (zsum (map (fun w => Z.abs (fst w) * val (f (cell_at m (snd w)))) kept)).
Proof.
  unfold weighted. rewrite up_100_ok. do 2 f_equal. apply map_ext. intros w. now rewrite get_ok.
Qed.

Lemma centres_ok (kept : sparse) :
  map (fun w => fst w * fst (look m (snd w))) kept =
  map (fun w => fst w * r_centre (at_ (snd w))) kept.
Proof. apply map_ext. intros w. now rewrite look_ok. Qed.
End Unit.

Lemma change_of_ext at_ q mv mv' o s : (forall j, mv j = mv' j) ->
  change_of at_ q mv o s = change_of at_ q mv' o s.
Proof.
  intros E. destruct o as [p|ws bs [c|]|j|j|i j]; cbn [change_of]; rewrite ?E; try reflexivity.
  unfold counted. do 2 f_equal. apply map_ext. intros w. now rewrite E.
Qed.

(** The next let of one side; of both, which are the same; and of the left, what it reads. *)
Ltac left_ x E := match goal with |- (let y := ?a in @?b y) = ?r => refine (let_left a b r _) end;
  intros x E; cbv beta.
Ltac right_ x E := match goal with |- ?r = (let y := ?a in @?b y) => refine (let_right a b r _) end;
  intros x E; cbv beta.
Tactic Notation "both" ident(x) "by" tactic3(t) :=
  let E := fresh in let y := fresh in let E' := fresh in
  let H := fresh in
  left_ x E; right_ y E'; assert (H : y = x) by (rewrite E', E; t); clear E'; subst y; clear E.
Tactic Notation "read" ident(x) := let E := fresh in left_ x E; rewrite get_ok in E; subst x.

Theorem fast_visit_ok st o base box : fast_visit ratio boundary st o base box =
  visit ratio boundary st o base box.
Proof.
  cbv beta delta [fast_visit visit]. both k by reflexivity. both m by reflexivity. right_ at_ Ea.
  subst at_. destruct (negb _); [reflexivity|].
  both slope by (symmetry; apply fast_slope_ok).
  left_ s Es; rewrite get_ok in Es; right_ s' Es'; rewrite <- Es in Es'; subst s'.
  both kept by reflexivity.
  both off by (symmetry; apply fast_off_ok).
  left_ b Eb; rewrite get_ok in Eb; right_ b' Eb'; rewrite <- Eb in Eb'; subst b'.
  left_ late El. rewrite fast_early_change_ok in El.
  rewrite fast_columns_ok, fast_early_change_ok, El. clear late El.
  destruct (columns_for _ _ _ _) as [[columns missed]|]; [|reflexivity].
  replace (if box then early_change (row_in m) m o 0 else early_change (row_in m) m o s)
    with (early_change (row_in m) m o (if box then 0 else s)) by now destruct box.
  destruct (early_change _ _ _ (if box then 0 else s)) as [bent|]; [|reflexivity].
  destruct (early_change _ _ _ s) as [away|]; [|reflexivity].
  both middle by (now rewrite times_one_ok, centres_ok).
  both centre by (now rewrite low_100_ok).
  read centre_z.
  left_ what El. rewrite (image_ok _ _ (look_ok m)), (form_rest_ok _ _ (look_ok m)) in El.
  both rest by (now rewrite El).
  read rest_z.
  both exact by (now rewrite up_100_ok, times_one_ok, weighted_ok).
  both reach
    by (destruct columns as [[[t l] p]|];
      [now rewrite up_100_ok, get_ok, fast_size_ok|reflexivity]).
  both most by reflexivity.
  both whole by reflexivity.
  rewrite (noise_and_fit_ok _ _ (look_ok m)).
  both rho by reflexivity.
  read rho_z.
  both err by reflexivity.
  read err_z.
  both rad by reflexivity.
  read rad_z.
  left_ moved Em. right_ moved' Em'.
  assert (M : forall j, moved j = moved' j) by (intros j; rewrite Em, Em'; apply get_ok).
  clear Em Em'.
  both early' by (now rewrite fast_rough_ok, fast_early_kept_ok).
  assert (A : forall s, apart (look m) moved o s = change_of (row_in m) 0 moved' (still o) s).
  { intros z. rewrite (apart_ok _ _ (look_ok m)). now apply change_of_ext. }
  left_ rem Er. rewrite A in Er.
  both change by (rewrite Er, A, weighted_ok; now destruct box).
  both own by reflexivity.
  read own_z.
  both early by reflexivity.
  both shift
    by (destruct columns as [[[t l] p]|];
      [now rewrite up_100_ok, get_ok, fast_drift_ok|reflexivity]).
  both move by reflexivity.
  read move_z.
  right_ rem' Er'. rewrite <- Er in Er'. subst rem'. clear Er A M moved moved'.
  both views by (now rewrite fast_settled_ok).
  destruct views as [[[lines' fresh'] lost]|]; [|reflexivity].
  both gap by reflexivity.
  read gap_z.
  both gap_own by reflexivity.
  left_ c Ec. right_ c' Ec'. rewrite <- Ec in Ec'. subst c'. right_ r Er. subst c.
  assert (R : rest_of (row_in m) o r = what) by (rewrite El, Er, Es, Eb; reflexivity). rewrite R.
  clear R.
  left_ span Ep. rewrite Ep, get_ok, Er. reflexivity.
Qed.
End Same.

(** ** All units *)

(* map: the quicker walk returns what the walk returns *)
Theorem fast_walk_ok ratio boundary l : forall st seen, fast_walk ratio boundary l st seen =
  walk ratio boundary l st seen.
Proof.
  induction l as [|[o base box|] l IH]; intros st seen; [reflexivity| |apply IH].
  cbn [fast_walk walk]. rewrite fast_visit_ok.
  destruct (visit _ _ _ _ _ _) as [[st' v]|]; [apply IH|reflexivity].
Qed.
